// SPDX-License-Identifier: GPL-2.0-only
/// After iommu_sva_unbind_device() the handle is gone, and its PASID may be that
/// of another process. Report uses of either.
//
// Confidence: Moderate
// Comments:
// Options: --no-includes --include-headers

virtual report

@handle exists@
expression h;
position p, q;
@@
 iommu_sva_unbind_device@p(h);
 ... when != h = ...
(
 iommu_sva_get_pasid@q(h)
|
 iommu_sva_unbind_device@q(h)
)

@script:python depends on report@
p << handle.p;
q << handle.q;
@@
if p[0].line != q[0].line:
    coccilib.report.print_report(q[0], "the handle was unbound on line %s" % p[0].line)

@pasid exists@
expression h;
expression n;
identifier f;
position p, q;
@@
 n = iommu_sva_get_pasid(h)
 ... when != n = ...
 iommu_sva_unbind_device@p(h);
 ... when != n = ...
 f@q(..., n, ...)

@script:python depends on report@
p << pasid.p;
q << pasid.q;
@@
coccilib.report.print_report(q[0], "the PASID may be another process's after the unbind on line %s" % p[0].line)

// The members that hold the two, where another function has set them
@member exists@
expression e;
identifier f, m =~ "sva|handle|bond", n =~ "pasid";
position p, q;
@@
 iommu_sva_unbind_device@p(e->m);
 ... when != e->n = ...
     when != e = ...
(
 f@q(..., e->n, ...)
|
 f@q(e)
)

@script:python depends on report@
p << member.p;
q << member.q;
f << member.f;
@@
if "pasid" in f:
    coccilib.report.print_report(q[0], "the PASID may be another process's after the unbind on line %s" % p[0].line)
