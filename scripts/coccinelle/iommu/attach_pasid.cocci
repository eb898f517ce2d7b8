// SPDX-License-Identifier: GPL-2.0-only
/// Report functions that attach a domain to a PASID, and after that fail without
/// detaching it.
//
// Confidence: Moderate
// Comments:
// Options: --no-includes --include-headers

virtual report

@attach exists@
expression domain, dev, pasid, r, e;
statement S;
identifier f;
position p, q;
@@
(
 r = iommu_attach_device_pasid@p(domain, dev, pasid);
 if (\(r\|r < 0\|r != 0\)) S
|
 if (\(iommu_attach_device_pasid@p(domain, dev, pasid)
      \|(r = iommu_attach_device_pasid@p(domain, dev, pasid))\)) S
)
 ... when != iommu_detach_device_pasid(domain, dev, pasid)
 e = f(...)
 ... when != iommu_detach_device_pasid(domain, dev, pasid)
     when != e = 0
 if (\(e\|e < 0\|e != 0\|IS_ERR(e)\)) {
 ... when != iommu_detach_device_pasid(domain, dev, pasid)
 return@q ...;
 }

@script:python depends on report@
p << attach.p;
q << attach.q;
@@
coccilib.report.print_report(q[0], "fails without a detach of what was attached on line %s" % p[0].line)
