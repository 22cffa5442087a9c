/*
 * See script.h.  A script is a strategy (host/sched.h): all of it runs on the thread that has the
 * baton, so nothing is locked; and a race detector sees nothing of it (the file is bare), so
 * that it still sees the races of what is tested.
 */
#include "script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <host/host.h>
#include <host/sched.h>
#include <ktest.h>
#include <sys/lockdirect.h>
#include <sys/lwp.h>
#include <uvm/uvm.h>

#include "kern_int.h"

#define	MAX_LWPS	8
#define	MAX_STEPS	32
#define	MAX_NAMES	64
#define	ROUNDS		1000	/* of time going on: whoever cannot run by then is blocked */
#define	VAIN		20000	/* choices between two points of its LWPs: they spin for each other */
#define	LONG_STEP	3000000	/* points; a step that takes more goes nowhere */

enum until { U_POINT, U_DONE, U_BLOCKED };

struct step {
	int	 st_lwp[MAX_LWPS];
	int	 st_nlwps;
	enum until st_until;
	int	 st_kind;		/* HP_COUNT: any */
	uint32_t st_object;		/* 0: any */
	unsigned st_times;
	char	 st_text[80];
};

struct actor {
	struct script_lwp ac_lwp;
	struct lwp *ac_l;		/* NULL: a daemon */
	bool	 ac_parked, ac_done;
	int	 ac_kind;		/* of its last point, or -1 */
	uint32_t ac_object;
	uint64_t ac_points;
};

static struct {
	bool	 making, on;		/* its LWPs; a script is under way */
	const char *file;
	int	 line;
	struct actor actor[MAX_LWPS];
	int	 nactors;
	struct step step[MAX_STEPS];
	int	 nsteps, now;
	unsigned rounds, vain;		/* in this step; since an LWP of the script has passed a point */
	uint64_t began;			/* points, when it did */
	unsigned last;			/* helper that ran last */
	int	 of_thread[HOST_THREADS]; /* 1 + number of actor */
	struct { const char *name; uint32_t object; } names[MAX_NAMES];
	int	 nnames;
} sc;

/* --- names --- */

static uint32_t
name_hash(const char *name)
{
	uint32_t h = 2166136261u;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * 16777619u;
	return h | 1;
}

void
script_object(const char *name, uint32_t object)
{
	CHECK(sc.nnames < MAX_NAMES);
	sc.names[sc.nnames].name = name;
	sc.names[sc.nnames++].object = object;
}

void
script_lock(const char *name, const kmutex_t *m)
{
	script_object(name, lock_number(m->mtx_id));
}

void
script_rwlock(const char *name, const krwlock_t *rw)
{
	script_object(name, lock_number(rw->rw_id));
}

void
script_point(const char *name)
{
	const uint32_t object = name_hash(name);
	int i = 0;

	while (i < sc.nnames && sc.names[i].object != object)
		i++;
	if (i == sc.nnames)
		script_object(name, object);
	host_point(HP_TEST, object);
}

/* --- when it goes wrong --- */

static size_t
put_actor(char *buf, size_t room, const struct actor *ac)
{
	char name[40] = "";
	int n;

	for (int i = 0; i < sc.nnames; i++)
		if (sc.names[i].object == ac->ac_object)
			snprintf(name, sizeof(name), "(%s)", sc.names[i].name);
	if (ac->ac_done)
		n = snprintf(buf, room, "; %s is done", ac->ac_lwp.sl_name);
	else if (ac->ac_kind < 0)
		n = snprintf(buf, room, "; %s has not begun", ac->ac_lwp.sl_name);
	else
		n = snprintf(buf, room, "; %s %s %s%s, its point %ju", ac->ac_lwp.sl_name,
		    ac->ac_parked ? "sleeps after" : "is at", host_point_name[ac->ac_kind], name,
		    (uintmax_t)ac->ac_points);
	return (size_t)n < room ? (size_t)n : room - 1;
}

static void __attribute__((noreturn))
script_fail(const char *what)
{
	char text[480];
	size_t used = (size_t)snprintf(text, sizeof(text), "script, step %d, `%s`: %s", sc.now + 1,
	    sc.now < sc.nsteps ? sc.step[sc.now].st_text : "end", what);

	for (int i = 0; i < sc.nactors; i++)
		used += put_actor(text + used, sizeof(text) - used, &sc.actor[i]);
	ktest_fail(sc.file, sc.line, "%s", text);
}

/* --- the notation --- */

static int
actor_named(const char *name)
{
	for (int i = 0; i < sc.nactors; i++)
		if (strcmp(sc.actor[i].ac_lwp.sl_name, name) == 0)
			return i;
	script_fail("there is no LWP of such a name");
}

static uint32_t
object_named(const struct step *st, const char *name)
{
	if (st->st_kind == HP_TEST)
		return name_hash(name);
	for (int i = 0; i < sc.nnames; i++)
		if (strcmp(sc.names[i].name, name) == 0)
			return sc.names[i].object;
	script_fail("no object has that name");
}

static void
parse_what(struct step *st, char *what)
{
	char *name = strchr(what, '('), *end;

	if (strcmp(what, "done") == 0 || strcmp(what, "blocked") == 0) {
		st->st_until = *what == 'd' ? U_DONE : U_BLOCKED;
		return;
	}
	if (name != NULL) {
		*name++ = '\0';
		end = strchr(name, ')');
		if (end == NULL || end[1] != '\0')
			script_fail("a name ends in `)`");
		*end = '\0';
	}
	if (strcmp(what, "point") == 0) {
		st->st_kind = HP_COUNT;
		return;
	}
	while (st->st_kind < HP_SWITCH && strcmp(host_point_name[st->st_kind], what) != 0)
		st->st_kind++;
	if (st->st_kind == HP_SWITCH)
		script_fail("there is no such kind of point");
	if (name != NULL)
		st->st_object = object_named(st, name);
}

static void
parse_step(struct step *st, const char *text, size_t len)
{
	char buf[80], *save = NULL, *word;

	CHECK(len < sizeof(buf));
	memcpy(buf, text, len);
	buf[len] = '\0';
	*st = (struct step){ .st_times = 1 };
	memcpy(st->st_text, buf, sizeof(buf));
	for (word = strtok_r(buf, " \t\n", &save); word != NULL && strcmp(word, "until") != 0;
	    word = strtok_r(NULL, " \t\n", &save)) {
		CHECK(st->st_nlwps < MAX_LWPS);
		st->st_lwp[st->st_nlwps++] = actor_named(word);
	}
	word = strtok_r(NULL, " \t\n", &save);
	if (st->st_nlwps == 0 || word == NULL)
		script_fail("a step is `LWP... until WHAT`");
	parse_what(st, word);
	word = strtok_r(NULL, " \t\n", &save);
	if (word != NULL && (sscanf(word, "x%u", &st->st_times) != 1 || st->st_times == 0))
		script_fail("behind a point stands nothing but x and a number");
}

static void
parse(const char *text)
{
	sc.nsteps = sc.now = 0;
	for (size_t len; *text != '\0'; text += len + (text[len] == ';')) {
		text += strspn(text, " \t\n");
		len = strcspn(text, ";");
		CHECK(sc.nsteps < MAX_STEPS);
		sc.now = sc.nsteps++;
		snprintf(sc.step[sc.now].st_text, sizeof(sc.step[0].st_text), "%.*s", (int)len, text);
		parse_step(&sc.step[sc.now], text, len);
	}
	sc.now = 0;
}

/* --- the strategy --- */

static struct actor *
actor_of(unsigned thread)
{
	return sc.on && sc.of_thread[thread] != 0 ? &sc.actor[sc.of_thread[thread] - 1] : NULL;
}

static void
advance(void)
{
	sc.rounds = sc.vain = 0;
	sc.began = host_sched_points();
	sc.now++;
}

/* => no step whose end has come already stays the current one */
static void
skip_done(void)
{
	while (sc.now < sc.nsteps && sc.actor[sc.step[sc.now].st_lwp[0]].ac_done) {
		if (sc.step[sc.now].st_until != U_DONE && sc.step[sc.now].st_kind != HP_COUNT)
			script_fail("it has ended, and never got there");
		advance();
	}
}

static void
begin(void *state, const struct host_sched_config *hsc)
{
	memset(&sc, 0, sizeof(sc));
}

/* => 1 + number of the actor that has its LWP's name; 0: none; there: of those that were there before */
static int
actor_called(const char *name, bool there)
{
	for (int i = 0; i < sc.nactors; i++)
		if (there == (sc.actor[i].ac_lwp.sl_fn == NULL) &&
		    strcmp(name, sc.actor[i].ac_lwp.sl_name) == 0)
			return i + 1;
	return 0;
}

static void
born(void *state, unsigned thread)
{
	sc.of_thread[thread] = sc.making ? actor_called(host_sched_name(thread), false) : 0;
}

/* => the daemons that the script has among its LWPs, and nobody of an earlier script */
static void
find_actors(void)
{
	for (unsigned thread = 0; thread < HOST_THREADS; thread++)
		sc.of_thread[thread] = actor_called(host_sched_name(thread), true);
	for (int i = 0, n; i < sc.nactors; i++) {
		n = sc.actor[i].ac_lwp.sl_fn == NULL;
		for (unsigned thread = 0; thread < HOST_THREADS; thread++)
			n -= sc.of_thread[thread] == i + 1;
		if (n != 0)
			script_fail("not one LWP, but none or several, have a daemon's name");
	}
}

static bool
point(void *state, unsigned thread, enum host_point_kind kind, uint32_t object)
{
	struct actor *ac = actor_of(thread);
	struct step *st;

	if (!sc.on || sc.now == sc.nsteps)
		return false;
	st = &sc.step[sc.now];
	if (host_sched_points() - sc.began > LONG_STEP)
		script_fail("it does not get there");
	if (ac == NULL)
		return false;
	sc.vain = 0;
	if (kind != HP_WAIT || ac->ac_kind < 0) {	/* what it waits for says more */
		ac->ac_kind = (int)kind;
		ac->ac_object = object;
	}
	ac->ac_points++;
	ac->ac_parked = false;
	if (ac == &sc.actor[st->st_lwp[0]] && st->st_until == U_POINT &&
	    (st->st_kind == HP_COUNT || (int)kind == st->st_kind) &&
	    (st->st_object == 0 || st->st_object == object) && --st->st_times == 0)
		advance();
	skip_done();
	return true;
}

static void
yield_to_all(void *state, unsigned thread)
{
}

/* => of the others, in turn; HOST_NOBODY: they cannot */
static unsigned
helper(const struct host_runnable *hr)
{
	unsigned first = HOST_NOBODY;

	for (unsigned n = 0; n < hr->hr_count; n++) {
		unsigned thread = host_runnable_nth(hr, n);
		const struct actor *ac = actor_of(thread);

		if (ac != NULL && !ac->ac_done && sc.now < sc.nsteps)
			continue;
		if (thread > sc.last)
			return sc.last = thread;
		if (first == HOST_NOBODY)
			first = thread;
	}
	return sc.last = first;
}

/* => the thread of that actor, if it can run */
static unsigned
runnable(const struct host_runnable *hr, int actor)
{
	for (unsigned n = 0; n < hr->hr_count; n++)
		if (sc.of_thread[host_runnable_nth(hr, n)] == actor + 1)
			return host_runnable_nth(hr, n);
	return HOST_NOBODY;
}

/* => could it go on if only it had a CPU? */
static bool
wants_cpu(const struct actor *ac)
{
	return ac->ac_l != NULL && __atomic_load_n(&ac->ac_l->l_stat, __ATOMIC_RELAXED) == LSRUN;
}

static unsigned
of_step(const struct host_runnable *hr, const struct step *st)
{
	unsigned who = runnable(hr, st->st_lwp[0]);

	if (who == HOST_NOBODY && wants_cpu(&sc.actor[st->st_lwp[0]]))
		return HOST_NOBODY;		/* an idle CPU comes for it, in time */
	for (int i = 1; i < st->st_nlwps && who == HOST_NOBODY; i++)
		who = runnable(hr, st->st_lwp[i]);
	return who;
}

static unsigned
pick(void *state, const struct host_runnable *hr, unsigned current, enum host_choice why)
{
	struct actor *ac = actor_of(current);
	unsigned who;

	if (ac != NULL)
		ac->ac_parked = why == HC_BLOCKED;
	if (why == HC_POINT && (!sc.on || sc.now == sc.nsteps))
		return current;
	if (sc.on && sc.now < sc.nsteps && (sc.rounds > ROUNDS || ++sc.vain > VAIN)) {
		if (sc.step[sc.now].st_until != U_BLOCKED)
			script_fail("it is blocked");
		advance();
		skip_done();
	}
	if (sc.on && sc.now < sc.nsteps && (who = of_step(hr, &sc.step[sc.now])) != HOST_NOBODY)
		return who;
	who = helper(hr);
	if (who == HOST_NOBODY)
		sc.rounds++;
	return who;
}

static void
deadlock(void)
{
	lockdirect_stuck(0);			/* it may be what the test is about */
	script_fail("it is blocked: nobody can run, and no time-out is pending");
}

static const struct host_strategy strategy_script = {
	"script", 1, begin, born, point, yield_to_all, pick,
};

/* --- a run --- */

void
script_begin(void)
{
	const struct host_sched_config hsc = {
		.hsc_strategy = &strategy_script, .hsc_deadlock = deadlock,
	};

	unsetenv("KTEST_SIGNALS");		/* interrupts come at points, or the script would not hold */
	CHECK_EQ(host_sched_begin(&hsc), 0);
	host_sched_load(false);
}

void
script_end(void)
{
	host_sched_end();
}

static void
actor_main(void *arg)
{
	struct actor *ac = arg;

	ac->ac_lwp.sl_fn(ac->ac_lwp.sl_arg);
	ac->ac_done = true;
	script_point("done");
}

uint64_t
script_points(int lwp)
{
	return sc.actor[lwp].ac_points;
}

void
script_run(const char *file, int line, const char *text, const struct script_lwp *sl, int n)
{
	struct lwp *l[MAX_LWPS];

	CHECK(n <= MAX_LWPS && n < ncpu && host_controlled());
	sc.file = file;
	sc.line = line;
	sc.nactors = n;
	for (int i = 0; i < n; i++)
		sc.actor[i] = (struct actor){ .ac_lwp = sl[i], .ac_kind = -1 };
	parse(text);
	find_actors();
	/* a CPU whose LWP waits for its step answers no cross call: it keeps no pages to be fetched */
	uvm_pgflcache_drain();
	uvm.pgfl_max = 0;
	uvm_pgintent_flush();
	uvm.intent_max = 0;		/* each fault by itself, as its steps say */
	sc.making = true;			/* may wait for memory: no step yet */
	for (int i = 0; i < n; i++) {
		l[i] = NULL;
		if (sl[i].sl_fn == NULL)
			continue;
		if (sl[i].sl_proc != NULL)
			CHECK_EQ(proc_lwp_create(sl[i].sl_proc, &l[i], sl[i].sl_name, actor_main,
			    &sc.actor[i]), 0);
		else
			CHECK_EQ(lwp_create(&l[i], NULL, sl[i].sl_name, actor_main, &sc.actor[i]), 0);
	}
	for (int i = 0; i < n; i++)
		sc.actor[i].ac_l = l[i];
	sc.making = false;
	sc.on = true;
	sc.rounds = sc.vain = 0;
	sc.began = host_sched_points();
	host_sched_load(true);
	for (int i = 0; i < n; i++)
		if (l[i] != NULL)
			lwp_start(l[i]);
	for (int i = 0; i < n; i++)
		if (l[i] != NULL)
			lwp_wait(l[i]);
	host_sched_load(false);
	if (sc.now != sc.nsteps)
		script_fail("all have ended before the script has");
	sc.on = false;
}
