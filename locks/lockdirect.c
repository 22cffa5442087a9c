/*
 * Deadlocks that were foretold: see <sys/lockdirect.h>.
 *
 * At each place of the circle something is held, and the next thing wanted: a lock, or an event, which is held
 * by who has to end it.  All of this takes place in controlled schedules, where one LWP runs at a time.
 */
#include <stdio.h>
#include <string.h>

#include <host/sched.h>
#include <sys/lockdirect.h>

#include "lockdebug_int.h"

#define	WAITS_MAX	256		/* more who wait at a time are not looked at */
#define	AT_MAX		8		/* nor more locks that one of them holds */
#define	EVENT(place)	(0xffff0000u | (place))	/* held there, if not at one before */
#define	ANY		0u		/* no lock has that number */

/* An LWP waits for a lock of the circle, and holds one. */
struct wait {
	const struct lwp *wa_lwp;
	const void *wa_lock;		/* wanted; of an event, the LWP; NULL: nobody */
	uint32_t wa_has, wa_wants;	/* birth numbers; EVENT() */
	unsigned wa_place;
	bool wa_event;			/* no lock is wanted */
	bool wa_exclusive;		/* how it is wanted */
	bool wa_has_exclusive;
};

bool lockdirect_on;
static unsigned nplaces;		/* : */
static struct place {			/* : */
	char	 pl_has[64], pl_wants[64];
	bool	 pl_any;		/* whoever is at the next place is waited for */
} circle[HOST_PLACES];
static char fingerprint[256];		/* : "lock-cycle:amap>map>amap" */

static struct wait waits[WAITS_MAX];	/* waits_lock */
static struct host_lock waits_lock;	/* innermost */

/* => the next name of the circle, and what is behind it; 0: too long, or none */
static size_t
next_name(const char *p, char name[64])
{
	const size_t len = strcspn(p, ">=");

	if (len == 0 || len >= 64)
		return 0;
	memcpy(name, p, len);
	name[len] = '\0';
	return len;
}

unsigned
lockdirect_set(const char *text)
{
	char first[64], name[64], next[64] = "";
	const char *p = text;
	unsigned n = 0;
	size_t len;

	lockdirect_on = false;
	memset(waits, 0, sizeof(waits));
	nplaces = 0;
	if (text == NULL || strlen(text) >= sizeof(fingerprint) - sizeof("lock-cycle:"))
		return 0;
	snprintf(fingerprint, sizeof(fingerprint), "lock-cycle:%s", text);
	len = next_name(p, first);
	for (memcpy(name, first, sizeof(name)); len != 0 && p[len] != '\0'; memcpy(name, next, sizeof(name))) {
		const bool step = p[len] == '>';

		p += len + 1;
		len = next_name(p, next);
		if (len != 0 && n == HOST_PLACES)
			return 0;
		if (len != 0 && step) {
			circle[n] = (struct place){ .pl_any = false };
			memcpy(circle[n].pl_has, name, sizeof(name));
			memcpy(circle[n++].pl_wants, next, sizeof(next));
		} else if (len != 0 && n != 0) {
			/* who has to end it is not known, but that he wants what somebody at the next place has */
			circle[n - 1].pl_any = circle[n - 1].pl_any || strncmp(name, "sleep:", 6) == 0;
		}
	}
	if (len == 0 || n == 0 || strcmp(next, first) != 0)
		return 0;
	nplaces = n;
	lockdirect_on = true;
	return n;
}

/* --- before a lock is wanted --- */

/* => is the LWP at that place, if it wants that, with this one held? */
static bool
at_place(unsigned place, const struct held_lock *hl, const char *wanted)
{
	return hl->hl_depth == curcpu()->ci_idepth && strcmp(circle[place].pl_wants, wanted) == 0 &&
	    strcmp(circle[place].pl_has, lockorder_class_name(hl->hl_class)) == 0;
}

/* => what stands for the event that is held at that place, and wanted at the one before */
static uint32_t
event_at(unsigned place)
{
	unsigned p = 0;

	while (strcmp(circle[p].pl_has, circle[place % nplaces].pl_has) != 0)
		p++;
	return EVENT(p);
}

/* => the places at which the LWP is, as waits, but for what is wanted */
static unsigned
places(struct wait *v, unsigned max, const char *wanted)
{
	const struct held_stack *hs = &curlwp->l_held;
	unsigned n = 0;

	for (int i = 0; i < hs->hs_n; i++)
		for (unsigned p = 0; p < nplaces && n < max; p++) {
			const struct held_lock *hl = &hs->hs_v[i];
			const bool event = (hl->hl_how & LO_EVENT) != 0;

			if (at_place(p, hl, wanted))
				v[n++] = (struct wait){
					.wa_lwp = curlwp, .wa_place = p, .wa_has = event ? event_at(p) : lock_number(hl->hl_id),
					.wa_has_exclusive = event || (hl->hl_how & LO_MODE) == LO_WRITE,
				};
		}
	return n;
}

/* => the places at which the LWP is, if it wants that lock */
static unsigned
places_of_lock(struct wait *v, const void *lock, uint32_t id, unsigned key, bool exclusive)
{
	const unsigned n = places(v, AT_MAX, lockorder_class_name(LOCKORDER_KEY_CLASS(key)));

	for (unsigned i = 0; i < n; i++) {
		v[i].wa_lock = lock;
		v[i].wa_wants = lock_number(id);
		v[i].wa_exclusive = exclusive;
	}
	return n;
}

void
lockdirect_meet(const void *lock, uint32_t id, unsigned key, bool exclusive)
{
	struct wait at[AT_MAX];
	const unsigned n = places_of_lock(at, lock, id, key, exclusive);

	for (unsigned i = 0; i < n; i++)
		host_sched_meet(at[i].wa_place, at[i].wa_has, at[i].wa_wants);
}

/* --- waiting --- */

/* => who is at the next place has, for sure in the way of this one, what it waits for */
static bool
waits_for(const struct wait *a, const struct wait *b)
{
	return b->wa_lock != NULL && b->wa_place == (a->wa_place + 1) % nplaces &&
	    (b->wa_lwp != a->wa_lwp || nplaces == 1) &&
	    (a->wa_wants == ANY || b->wa_has == a->wa_wants) && (a->wa_exclusive || b->wa_has_exclusive);
}

/* => waits_lock held: the way of those who wait for each other, from the first one on, has been closed */
static bool
closed(const struct wait *way[], unsigned n, bool events)
{
	if (n == nplaces)
		return waits_for(way[n - 1], way[0]);
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		way[n] = &waits[i];
		if ((events || !way[n]->wa_event) && waits_for(way[n - 1], way[n]) && closed(way, n + 1, events))
			return true;
	}
	return false;
}

/* => " 7"; of an event nothing */
static const char *
number(char text[16], uint32_t id)
{
	snprintf(text, 16, " %u", id);
	return id == ANY || id >= EVENT(0) ? "" : text;
}

static void __attribute__((noreturn))
deadlock(const struct wait *const way[])
{
	char text[400], has[16], wants[16];
	size_t len = 0;

	for (unsigned i = 0; i < nplaces && len < sizeof(text); i++) {
		const struct wait *w = way[i];
		const struct place *pl = &circle[w->wa_place];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s has %s%s and waits for %s%s",
		    i == 0 ? "" : ", ", w->wa_lwp->l_name, pl->pl_has, number(has, w->wa_has), pl->pl_wants,
		    number(wants, w->wa_wants));
	}
	host_unlock(&waits_lock);
	panic_graded(VIOL_LOCK_ORDER, "lock-cycle", "confirmed", fingerprint, "deadlock: %s", text);
}

/* => waits_lock held: it is remembered; NULL: there is no room */
static const struct wait *
remember(const struct wait *v)
{
	for (unsigned w = 0; w < WAITS_MAX; w++)
		if (waits[w].wa_lock == NULL) {
			waits[w] = *v;
			return &waits[w];
		}
	return NULL;
}

void
lockdirect_waits(const void *lock, uint32_t id, unsigned key, bool exclusive)
{
	struct wait at[AT_MAX];
	const struct wait *way[HOST_PLACES];
	const unsigned n = places_of_lock(at, lock, id, key, exclusive);

	if (n == 0)
		return;
	host_lock(&waits_lock);
	for (unsigned i = 0; i < n; i++) {
		way[0] = remember(&at[i]);
		if (way[0] != NULL && closed(way, 1, false))
			deadlock(way);
	}
	host_unlock(&waits_lock);
}

void
lockdirect_got(const void *lock)
{
	const struct lwp *l = curlwp;

	host_lock(&waits_lock);
	for (unsigned i = 0; i < WAITS_MAX; i++)
		if (waits[i].wa_lock == lock && waits[i].wa_lwp == l)
			waits[i].wa_lock = NULL;
	host_unlock(&waits_lock);
}

/* --- sleeping --- */

/* => the places at which the LWP is, if it waits for that event */
static unsigned
places_of_event(struct wait *v, uint32_t node)
{
	const unsigned n = places(v, AT_MAX, lockorder_class_name(node));

	for (unsigned i = 0; i < n; i++) {
		v[i].wa_lock = v[i].wa_lwp;
		v[i].wa_wants = circle[v[i].wa_place].pl_any ? ANY : event_at(v[i].wa_place + 1);
		v[i].wa_event = v[i].wa_exclusive = true;
	}
	return n;
}

void
lockdirect_meet_event(uint32_t node)
{
	struct wait at[AT_MAX];
	const unsigned n = places_of_event(at, node);

	for (unsigned i = 0; i < n; i++)
		host_sched_meet(at[i].wa_place, at[i].wa_has, at[i].wa_wants);
	if (n != 0)
		host_point(HP_LOCK, at[0].wa_wants);
}

void
lockdirect_sleeps(uint32_t node)
{
	struct wait at[AT_MAX];
	const unsigned n = places_of_event(at, node);

	host_lock(&waits_lock);
	for (unsigned i = 0; i < n; i++)
		(void)remember(&at[i]);
	host_unlock(&waits_lock);
	for (unsigned i = 0; i < n; i++)
		host_sched_waits(at[i].wa_place, at[i].wa_has, at[i].wa_wants);
}

void
lockdirect_slept(void)
{
	lockdirect_got(curlwp);
	host_sched_woken();
}

void
lockdirect_stuck(void)
{
	const struct wait *way[HOST_PLACES];

	if (!lockdirect_on)
		return;
	host_lock(&waits_lock);
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		way[0] = &waits[i];
		if (waits[i].wa_lock != NULL && closed(way, 1, true))
			deadlock(way);
	}
	host_unlock(&waits_lock);
}
