/*
 * sdt(9): no probes.
 */
#ifndef _RUMPLAB_SYS_SDT_H_
#define _RUMPLAB_SYS_SDT_H_

#define SDT_PROVIDER_DEFINE(p)			_Static_assert(1, "no probes")
#define SDT_PROVIDER_DECLARE(p)			_Static_assert(1, "no probes")
#define SDT_PROBE_DECLARE(p, m, f, n)		_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE0(p, m, f, n)		_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE1(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE2(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE3(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE4(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE5(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE6(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE_DEFINE7(p, m, f, n, ...)	_Static_assert(1, "no probes")
#define SDT_PROBE0(p, m, f, n)			((void)0)
#define SDT_PROBE1(p, m, f, n, ...)		((void)0)
#define SDT_PROBE2(p, m, f, n, ...)		((void)0)
#define SDT_PROBE3(p, m, f, n, ...)		((void)0)
#define SDT_PROBE4(p, m, f, n, ...)		((void)0)
#define SDT_PROBE5(p, m, f, n, ...)		((void)0)
#define SDT_PROBE6(p, m, f, n, ...)		((void)0)
#define SDT_PROBE7(p, m, f, n, ...)		((void)0)
#define SET_ERROR(e)				(e)

#endif
