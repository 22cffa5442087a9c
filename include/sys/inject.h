/*
 * Fault injection: places in the kernel that fail, or take their time, by a specification
 * and the seed (after the fault-injection framework of Linux: probability, interval, times).
 *
 *	page-alloc:p=0.01,pmap-enter:every=7,after=1000,times=50,stack=uvm_fault
 *
 * Whether the n-th call at a place fails depends on the seed, the place and n alone, so one
 * CPU with one seed fails in the same places twice.
 */
#ifndef SYS_INJECT_H
#define SYS_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum inject_site {
#define	INJECT_SITE(name, text, delay, help)	INJECT_##name,
#include <sys/inject.def>
#undef INJECT_SITE
	INJECT_COUNT
};

/* : all fields, rows of inject.def */
struct inject_info {
	const char	*ii_name;
	bool		 ii_delay;	/* takes its time; does not fail */
	const char	*ii_help;
};
extern const struct inject_info inject_info[INJECT_COUNT];

/*
 * inject_configure: => specification as above, or "none".  Nothing fails before inject_start();
 *    no other thread runs.  0; EINVAL: why says what is wrong with which word
 * inject_start, inject_stop: the places begin to fail, or cease to; any time, by one thread
 */
int	inject_configure(const char *spec, uint64_t seed, char *why, size_t whylen);
void	inject_start(void);
void	inject_stop(void);
/* => is this site one that fails in this run, now or later? */
bool	inject_chosen(enum inject_site);
/* => how often the place was passed, and how often it failed, since inject_configure() */
void	inject_counts(enum inject_site, uint64_t *calls, uint64_t *failed);

extern uint32_t inject_active;		/* @: bit per site */
bool	inject_now(enum inject_site);
void	inject_delay_now(enum inject_site);

/* => does this site fail at times, as things are? */
static inline bool
inject_on(enum inject_site site)
{
	/* relaxed: who sees it late fails a little later */
	return __builtin_expect((__atomic_load_n(&inject_active, __ATOMIC_RELAXED) >> site & 1) != 0, 0);
}

/* => this call is to fail.  Any context. */
static inline bool
inject(enum inject_site site)
{
	return inject_on(site) && inject_now(site);
}

/* => takes its time now, if it is to; any context; IPIs and interrupts are let in as IPL allows */
static inline void
inject_delay(enum inject_site site)
{
	if (inject_on(site))
		inject_delay_now(site);
}

#endif /* SYS_INJECT_H */
