// SPDX-License-Identifier: GPL-2.0-only
/// iommu_sva_bind_device() returns an ERR_PTR() when it fails, and never NULL.
/// Report results that are compared with NULL, and such that are used without
/// a test with IS_ERR().
//
// Confidence: High
// Comments:
// Options: --no-includes --include-headers

virtual report

@null exists@
expression h;
position p, q;
@@
 h = iommu_sva_bind_device@p(...)
 ... when != h = ...
     when != IS_ERR(h)
(
 !h@q
|
 h@q == NULL
|
 h@q != NULL
|
 IS_ERR_OR_NULL(h@q)
)

@script:python depends on report@
p << null.p;
q << null.q;
@@
coccilib.report.print_report(q[0], "the result of iommu_sva_bind_device() on line %s is an ERR_PTR(), never NULL" % p[0].line)

@used exists@
expression h;
position p != null.p, q;
@@
 h = iommu_sva_bind_device@p(...)
 ... when != h = ...
     when != IS_ERR(h)
     when != PTR_ERR_OR_ZERO(h)
(
 iommu_sva_get_pasid@q(h)
|
 iommu_sva_unbind_device@q(h)
)

@script:python depends on report@
p << used.p;
q << used.q;
@@
coccilib.report.print_report(q[0], "the result of iommu_sva_bind_device() on line %s is used without a test with IS_ERR()" % p[0].line)
