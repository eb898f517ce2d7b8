// SPDX-License-Identifier: GPL-2.0-only
/// Convert drivers of devices to iommu_sva_bind_device() without its third
/// argument. It is dropped where it is NULL. Anything else asked for supervisor
/// mode, which is gone: attach the domain of the DMA API to a PASID from
/// iommu_alloc_global_pasid() with iommu_attach_device_pasid() instead.
//
// Confidence: High
// Comments:
// Options: --no-includes --include-headers

virtual patch
virtual report
virtual context
virtual org

@depends on patch@
expression dev, mm;
@@
 iommu_sva_bind_device(dev, mm
-                      , NULL
 )

@null depends on report || org@
expression dev, mm;
position p;
@@
 iommu_sva_bind_device@p(dev, mm, NULL)

@depends on context@
expression dev, mm, data;
@@
* iommu_sva_bind_device(dev, mm, data)

@data@
expression dev, mm, data != NULL;
position p;
@@
 iommu_sva_bind_device@p(dev, mm, data)

@script:python depends on report@
p << null.p;
@@
coccilib.report.print_report(p[0], "iommu_sva_bind_device() has no third argument any more")

@script:python depends on org@
p << null.p;
@@
coccilib.org.print_todo(p[0], "iommu_sva_bind_device() has no third argument any more")

@script:python depends on report || patch@
p << data.p;
@@
coccilib.report.print_report(p[0], "supervisor mode is gone: use iommu_alloc_global_pasid() and iommu_attach_device_pasid()")
