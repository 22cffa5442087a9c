/*
 * USDT probes: places where bpftrace, perf and systemtap may look in (tools/bpftrace/).
 *
 * Each is a nop and a note in the binary.  Its arguments are where they are anyway, so pass only
 * what the function has at hand.  Without <sys/sdt.h> (-Dusdt=disabled) there are none.
 *
 *	fault__start	map, address, access
 *	fault__done	map, address, errno, how it was resolved (KERNHIST_*)
 *	loan		page, loans it has now
 *	pageout__start	page, swap slot
 *	pageout__done	page, swap slot, errno
 *	lock__wait	class (a string), ns: when the wait is over
 *
 * Maps and pages by their numbers, as in the histories.
 */
#ifndef SYS_PROBE_H
#define SYS_PROBE_H

#include "uvmstress_config.h"

#if UVMSTRESS_USDT
#include <sys/sdt.h>
#define	PROBE2(name, a, b)		DTRACE_PROBE2(uvmstress, name, a, b)
#define	PROBE3(name, a, b, c)		DTRACE_PROBE3(uvmstress, name, a, b, c)
#define	PROBE4(name, a, b, c, d)	DTRACE_PROBE4(uvmstress, name, a, b, c, d)
#else
#define	PROBE2(name, a, b)		do { (void)(a); (void)(b); } while (0)
#define	PROBE3(name, a, b, c)		do { (void)(a); (void)(b); (void)(c); } while (0)
#define	PROBE4(name, a, b, c, d)	do { (void)(a); (void)(b); (void)(c); (void)(d); } while (0)
#endif

#endif /* SYS_PROBE_H */
