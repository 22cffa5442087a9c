/*
 * The watchdog.
 *
 * Every LWP that works gives signs of life: it returns to user mode, a fault is done, a
 * daemon's round.  One that gives none for as long as the limit has hung: it sleeps for what
 * never comes, spins, or goes round in a circle of failing and trying again.  Those that wait
 * for work or for other LWPs say so (lwp_patient()); the others are watched themselves.
 *
 * What is told then is who waits for whom:
 *
 *	wants a lock		its holders, by everybody's list of locks held
 *	asleep on a page	who has it busy
 *	asleep for memory	the page daemon
 *	runnable		whoever has the CPU
 *	else			what it sleeps for, by its wait message; or that it runs
 *
 * followed from each LWP that hangs until somebody waits for nobody, or for one who has
 * been named: a deadlock.  The longest chain is the message.  One that ends at an LWP that
 * gives signs of life is no hang: somebody is slow, and who waited for him has his limit from
 * then on.  Not for ever, though: see STARVED.
 *
 * When the load is over, its LWPs come to an end by themselves.  If one is waited for, and for a quarter
 * of the limit all LWPs sleep patiently, nobody will ever wake it: that has hung, too.  So it is while
 * the machine goes down, and its daemons are told to end; else nothing is asked of it then, for who takes
 * it apart works long without a sign of life, and the host's alarm ends it if that is for ever.
 *
 * The thread holds no simulated CPU and takes no lock of the machine but that of the list of
 * LWPs, for a moment.  Should even that be held for ever, the host's alarm ends the process.
 */
#include <stdlib.h>
#include <string.h>

#include <harness/show.h>
#include <harness/watchdog.h>
#include <harness/xalloc.h>
#include <host/sched.h>
#include <sys/kernel.h>
#include <sys/kernhist.h>
#include <sys/lockdirect.h>
#include <sys/lwp.h>
#include <uvm/uvm.h>

#define	LOOKS		8		/* in one limit */
#define	FORSAKEN	4		/* part of a limit for which all may sleep patiently, at the end */
#define	STACK_MAX	24
#define	REPORT_NS	60000000000u
#define	GRACE_NS	10000000000u	/* for a host so busy that the watchdog does not run */
#define	STARVED		10		/* limits for which one may wait for those who get on */

/* stable while the thread runs */
static struct host_thread *thread;
static uint64_t limit;			/* ns */
static bool (*over)(void);		/* the load is; NULL: it never is */
static bool going_down;			/* @ the machine may; only forsaken ones are looked for */
static bool stopping;			/* @ */

/* What was seen of one LWP.  All of it may change while it is read, unless it has hung. */
struct seen {
	struct lwp	*se_lwp;
	uint64_t	 se_since;	/* of its last sign of life */
	int		 se_stat;
	bool		 se_patient;
	const struct cpu_info *se_cpu;
	const volatile void *se_wchan;
	const void	*se_wants;
	const char	*se_wmesg;
	bool		 se_named;	/* in the chain already */
};

struct census {
	uint64_t	 ce_now;
	struct seen	*ce_v;
	size_t		 ce_n;
	struct vm_page	*ce_page;	/* that somebody in the last chain waits for */
	bool		 ce_forsaken;	/* all sleep patiently, and the load is over */
};

/* What a look at all LWPs saw. */
struct look {
	uint64_t lk_now;
	bool	 lk_stuck;		/* somebody gave no sign of life for too long */
	bool	 lk_busy;		/* somebody does not sleep patiently */
};

/* --- looking --- */

static bool
patient(const struct lwp *l)
{
	const int stat = __atomic_load_n(&l->l_stat, __ATOMIC_RELAXED);

	return l->l_idle || stat == LSIDL || stat == LSZOMB ||
	    __atomic_load_n(&l->l_patient, __ATOMIC_RELAXED);
}

/* => an LWP that works and has given no sign of life since *since */
static bool
stuck(struct lwp *l, uint64_t now)
{
	uint64_t beats = __atomic_load_n(&l->l_beats, __ATOMIC_RELAXED);

	if (patient(l) || beats != l->l_seen_beats || l->l_seen_since == 0) {
		l->l_seen_beats = beats;
		l->l_seen_since = now;
	}
	return now - l->l_seen_since > limit && now - l->l_seen_excused > limit / LOOKS;
}

/* => it has come to life, or gone, since it was looked at: its thread may be gone, too */
static bool
moved(const struct lwp *l)
{
	return __atomic_load_n(&l->l_stat, __ATOMIC_RELAXED) == LSZOMB ||
	    __atomic_load_n(&l->l_beats, __ATOMIC_RELAXED) != l->l_seen_beats;
}

static void
look(struct lwp *l, void *arg)
{
	const int stat = __atomic_load_n(&l->l_stat, __ATOMIC_RELAXED);
	struct look *lk = arg;

	lk->lk_stuck |= stuck(l, lk->lk_now);
	/* who was woken is patient until it says otherwise, for which it needs a core of the host */
	lk->lk_busy |= !patient(l) || stat == LSRUN || (stat == LSONPROC && !l->l_idle);
}

/* --- telling --- */

static void
note(struct lwp *l, void *arg)
{
	struct census *ce = arg;

	ce->ce_v = xgrow(ce->ce_v, ce->ce_n, sizeof(*ce->ce_v));
	ce->ce_v[ce->ce_n++] = (struct seen){
		.se_lwp = l, .se_since = l->l_seen_since,
		.se_stat = __atomic_load_n(&l->l_stat, __ATOMIC_RELAXED),
		.se_patient = __atomic_load_n(&l->l_patient, __ATOMIC_RELAXED),
		.se_cpu = l->l_cpu,
		.se_wchan = __atomic_load_n(&l->l_wchan, __ATOMIC_RELAXED),
		.se_wants = __atomic_load_n(&l->l_wants, __ATOMIC_RELAXED),
		.se_wmesg = __atomic_load_n(&l->l_wmesg, __ATOMIC_RELAXED),
	};
}

static struct seen *
seen_of(struct census *ce, const struct lwp *l)
{
	for (size_t i = 0; i < ce->ce_n; i++)
		if (ce->ce_v[i].se_lwp == l)
			return &ce->ce_v[i];
	return NULL;
}

/* => whose end is slept for (lwp_wait()), or NULL */
static struct seen *
end_of(struct census *ce, const volatile void *wchan)
{
	for (size_t i = 0; i < ce->ce_n; i++)
		if (wchan == &ce->ce_v[i].se_lwp->l_func)
			return &ce->ce_v[i];
	return NULL;
}

/* => the page that is slept for, or NULL */
static struct vm_page *
page_of(const volatile void *wchan)
{
	uintptr_t first = (uintptr_t)uvm.pages, addr = (uintptr_t)wchan;

	if (addr < first || addr >= (uintptr_t)(uvm.pages + uvm.npages) ||
	    (addr - first) % sizeof(struct vm_page) != 0)
		return NULL;
	return &uvm.pages[(addr - first) / sizeof(struct vm_page)];
}

/* => somebody who holds the lock, and which it is; or NULL */
static struct seen *
holder_of(struct census *ce, const void *lock, const struct held_lock **hlp)
{
	for (size_t i = 0; i < ce->ce_n; i++) {
		struct lwp *l = ce->ce_v[i].se_lwp;

		for (int k = 0; k < l->l_held.hs_n; k++)
			if (l->l_held.hs_v[k].hl_lock == lock) {
				*hlp = &l->l_held.hs_v[k];
				return &ce->ce_v[i];
			}
	}
	return NULL;
}

/* => whom it waits for, if it is an LWP; out: the sentence goes on */
static struct seen *
waits_for(struct census *ce, const struct seen *se, FILE *out)
{
	const struct held_lock *hl;
	struct vm_page *pg;
	struct seen *other;

	if (se->se_stat == LSRUN) {
		fprintf(out, " waits for CPU %d", se->se_cpu->ci_index);
		return seen_of(ce, __atomic_load_n(&se->se_cpu->ci_curlwp, __ATOMIC_RELAXED));
	}
	other = se->se_wants != NULL ? holder_of(ce, se->se_wants, &hl) : NULL;
	if (other != NULL) {
		fprintf(out, " waits for %s %u of", lockorder_class_name(hl->hl_class), hl->hl_id);
		return other;
	}
	if (se->se_stat != LSSLEEP) {
		fprintf(out, " runs on CPU %d", se->se_cpu->ci_index);
		return NULL;
	}
	other = end_of(ce, se->se_wchan);
	if (other != NULL) {
		fprintf(out, " waits for the end of");
		return other;
	}
	pg = page_of(se->se_wchan);
	if (pg != NULL) {
		ce->ce_page = pg;
		fprintf(out, " waits in '%s' for the page at %#lx, made busy by", se->se_wmesg,
		    (unsigned long)VM_PAGE_TO_PHYS(pg));
		if (pg->owner == NULL)
			fprintf(out, " nobody (flags %#x)", pg->flags);
		return seen_of(ce, pg->owner);
	}
	fprintf(out, " %s '%s'", se->se_wchan == (void *)&uvm.free ? "waits for memory, for" :
	    se->se_patient ? "waits for work in" : "sleeps in", se->se_wmesg);
	return se->se_wchan == (void *)&uvm.free ? seen_of(ce, uvm.pagedaemon_lwp) : NULL;
}

/* => "a waits for amap 7 of b, who waits for ...", of how many that speaks, and the last one */
static char *
chain_of(struct census *ce, struct seen *se, int *links, struct seen **last)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (size_t i = 0; i < ce->ce_n; i++)
		ce->ce_v[i].se_named = false;
	fprintf(out, "%s", se->se_lwp->l_name);
	for (*links = 1; se != NULL && !se->se_named; ++*links) {
		struct seen *next;

		se->se_named = true;
		*last = se;
		next = waits_for(ce, se, out);
		if (next != NULL)
			fprintf(out, " %s%s", next->se_lwp->l_name,
			    next->se_named ? ": a deadlock" : ", who");
		se = next;
	}
	fclose(out);
	return text;
}

static bool
hangs(const struct seen *se, uint64_t now)
{
	return !se->se_lwp->l_idle && !se->se_patient && se->se_stat != LSIDL &&
	    se->se_stat != LSZOMB && now - se->se_since > limit;
}

static void
tell_lwp(const struct seen *se, uint64_t now, FILE *out)
{
	static const char *const stat[] = {
		[LSIDL] = "not started", [LSRUN] = "runnable", [LSONPROC] = "running",
		[LSSLEEP] = "asleep", [LSZOMB] = "gone",
	};
	const struct lwp *l = se->se_lwp;

	fprintf(out, "\nLWP %u %s: %s, CPU %d", l->l_id, l->l_name, stat[se->se_stat],
	    se->se_cpu != NULL ? se->se_cpu->ci_index : -1);
	if (se->se_stat == LSSLEEP && se->se_wmesg != NULL)
		fprintf(out, ", in '%s'", se->se_wmesg);
	if (!l->l_idle && !se->se_patient)
		fprintf(out, ", last sign of life %.1f s ago", (double)(now - se->se_since) / 1e9);
	fprintf(out, "\n");
	show_lwp(l, out);
}

/*
 * => waits for one who gets on, or did so until a moment ago and is alone now: no hang, if it has
 *    not been so for ever
 */
static bool
excused(const struct census *ce, const struct seen *se, const struct seen *last)
{
	if (ce->ce_now - se->se_since > STARVED * limit)
		return false;
	if (last == se)
		return ce->ce_now - se->se_lwp->l_seen_excused <= limit;
	if (last->se_patient || ce->ce_now - last->se_since > limit)
		return false;
	se->se_lwp->l_seen_excused = ce->ce_now;
	return true;
}

/*
 * => its chain is told: it has hung, or waits for one who has, though not for so long; or
 *    nobody works any more, and it waits for another all the same
 */
static bool
concerned(const struct census *ce, const struct seen *se, const struct seen *last)
{
	if (ce->ce_forsaken)
		return last != se;
	if (hangs(se, ce->ce_now))
		return !excused(ce, se, last);
	return last != se && hangs(last, ce->ce_now);
}

/* => the longest chain, and its end: for whom all wait; every one goes to out */
static char *
tell_chains(struct census *ce, struct seen **culprit, FILE *out)
{
	char *longest = NULL;
	struct seen *last = NULL;
	int most = 0, links;

	for (size_t i = 0; i < ce->ce_n; i++) {
		char *chain;

		if (ce->ce_v[i].se_lwp->l_idle || (ce->ce_v[i].se_patient && !ce->ce_forsaken) ||
		    ce->ce_v[i].se_stat == LSIDL || ce->ce_v[i].se_stat == LSZOMB)
			continue;
		chain = chain_of(ce, &ce->ce_v[i], &links, &last);
		if (!concerned(ce, &ce->ce_v[i], last)) {
			free(chain);
			continue;
		}
		fprintf(out, "hangs: %s\n", chain);
		if (links > most) {
			free(longest);
			longest = chain;
			most = links;
			*culprit = last;
		} else {
			free(chain);
		}
	}
	return longest;
}

/* => everything that an engineer would ask for; does not return, but if all have come to life */
static void
tell(struct census *ce)
{
	char *chain, *details = NULL;
	struct seen *culprit = NULL;
	size_t len;
	FILE *out = open_memstream(&details, &len);
	void *stack[STACK_MAX];
	int n;

	chain = tell_chains(ce, &culprit, out);
	if (culprit == NULL || (!culprit->se_lwp->l_idle && !culprit->se_patient && moved(culprit->se_lwp))) {
		free(chain);
		fclose(out);
		free(details);
		return;
	}
	host_racy_end();
	lockdirect_stuck(limit / 2);
	host_racy_begin();
	lockevent_judge(1);			/* nothing more will be seen of who wakes whom */
	show_machine(out);
	for (size_t i = 0; i < ce->ce_n; i++)
		tell_lwp(&ce->ce_v[i], ce->ce_now, out);
	fclose(out);
	if (ce->ce_page != NULL)
		violation_about(KS_page, VM_PAGE_ID(ce->ce_page), ce->ce_page);
	n = host_thread_backtrace(culprit->se_lwp->l_thread, stack, STACK_MAX);
	host_racy_end();			/* the thread ends in there */
	if (ce->ce_forsaken)
		kern_hang(culprit->se_lwp, stack, n, details, "the load is over, and nobody works: %s", chain);
	kern_hang(culprit->se_lwp, stack, n, details, "no sign of life for %.1f s: %s",
	    (double)limit / 1e9, chain);
}

/* Reads what belongs to others, who do not move any more, or whose word is not needed. */
static void
report(bool forsaken)
{
	struct census ce = { .ce_now = host_now_ns(), .ce_forsaken = forsaken };

	host_alarm(3 * limit + REPORT_NS, "the watchdog hangs in its report");
	host_racy_begin();
	lwp_foreach(note, &ce);
	tell(&ce);
	host_racy_end();
	free(ce.ce_v);
}

void
watchdog_deadlock(void)
{
	limit = 0;
	report(false);
}

/* --- the thread --- */

/* => the alarm knows real time alone, and somebody may be looking at a schedule that stands */
static uint64_t
patience(void)
{
	return 3 * limit + (host_controlled() ? REPORT_NS : GRACE_NS);
}

static void
watch(void *arg)
{
	uint64_t busy = host_now_ns();		/* when somebody last worked, or the load was not over */
	bool down = false;

	/* acquire: pairs with the release in watchdog_end() */
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		struct look lk = { .lk_now = host_now_ns() };

		if (!down) {			/* once it does, nobody puts that off any more */
			down = __atomic_load_n(&going_down, __ATOMIC_RELAXED);
			host_alarm(patience(), down ? "the machine does not go down" : "the watchdog hangs itself");
		}
		lwp_foreach(look, &lk);
		lk.lk_stuck &= !down;
		if (lk.lk_busy || (!down && (over == NULL || !over())))
			busy = lk.lk_now;
		if (lk.lk_stuck || lk.lk_now - busy > limit / FORSAKEN)
			report(!lk.lk_stuck);
		host_park_until(host_now_ns() + limit / LOOKS);
	}
}

int
watchdog_start(uint64_t ns, bool (*load_is_over)(void))
{
	limit = ns;
	over = load_is_over;
	__atomic_store_n(&going_down, false, __ATOMIC_RELAXED);
	__atomic_store_n(&stopping, false, __ATOMIC_RELAXED);
	return host_thread_create(&thread, "watchdog", watch, NULL);
}

void
watchdog_stop(void)
{
	__atomic_store_n(&going_down, true, __ATOMIC_RELAXED);
	host_unpark(thread);
}

void
watchdog_end(void)
{
	if (thread == NULL)		/* there was to be none */
		return;
	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	host_unpark(thread);
	host_thread_join(thread);
	thread = NULL;
	host_alarm(0, "");
}
