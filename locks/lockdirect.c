/*
 * Deadlocks that were foretold: see <sys/lockdirect.h>.
 *
 * At each place of the circle something is held, and the next thing wanted: a lock, or an event, which is held
 * by who has to end it.  All of this takes place in controlled schedules, where one LWP runs at a time.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <host/sched.h>
#include <sys/lockdirect.h>

#include "lockdebug_int.h"

#define	WAITS_MAX	256		/* more who wait at a time are not looked at */
#define	DUTIES_MAX	4096		/* of one that is not remembered nobody is known to have to end it */
#define	AT_MAX		8		/* nor more locks that one of them holds */
#define	EVENT(place)	(0xffff0000u | (place))	/* held there, if not at one before */
#define	ANY		0u		/* no lock has that number */
#define	NOWHERE		UINT_MAX	/* a place: none of the circle's */

/* An LWP waits: at a place of the circle, if it holds what is held there. */
struct wait {
	const struct lwp *wa_lwp;
	const void *wa_lock;		/* wanted; of an event, the LWP; NULL: nobody */
	uint32_t wa_has, wa_wants;	/* birth numbers; EVENT() */
	unsigned wa_place;
	bool wa_event;			/* no lock is wanted, */
	uint32_t wa_node, wa_number;	/* but the end of that one of its kind */
	uint64_t wa_since;		/* ns */
	bool wa_exclusive;		/* how it is wanted */
	bool wa_has_exclusive;
};

bool lockdirect_on;
static unsigned nplaces;		/* : */
static struct place {			/* : */
	char	 pl_has[64], pl_wants[64];
	bool	 pl_any;		/* whoever is at the next place is waited for: it is not known who wakes */
	bool	 pl_passed;		/* that is no matter of who began it, who has passed it on */
} circle[HOST_PLACES];
static bool any;			/* : there is such a place */
static char fingerprint[256];		/* : "lock-cycle:amap>map>amap" */

/* Waits for an event that an LWP has to end. */
struct duty {
	const struct lwp *du_lwp;
	uint32_t du_node, du_number;
};

static struct wait waits[WAITS_MAX];	/* waits_lock */
static struct duty duties[DUTIES_MAX];	/* waits_lock */
static unsigned nduties;		/* waits_lock */
static bool duties_lost;		/* waits_lock: there was no room for one */
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

	lockdirect_on = any = duties_lost = false;
	memset(waits, 0, sizeof(waits));
	nplaces = nduties = 0;
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
			if (strncmp(name, "sleep:", 6) == 0)
				circle[n - 1].pl_any = any = true;
			else
				circle[n - 1].pl_passed = true;
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

/* => waits_lock held: does that LWP have to end it?  NULL: does anybody? */
static bool
has_duty(const struct lwp *l, uint32_t node, uint32_t number)
{
	for (unsigned i = 0; i < nduties; i++)
		if (duties[i].du_node == node && duties[i].du_number == number && (l == NULL || duties[i].du_lwp == l))
			return true;
	return false;
}

/* => waits_lock held: somebody who is neither of these waits for the very thing that b has at its place */
static bool
is_wanted(const struct wait *b, const struct wait *a)
{
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		const struct wait *w = &waits[i];

		if (w->wa_lock == NULL || w->wa_lwp == a->wa_lwp || w->wa_lwp == b->wa_lwp)
			continue;
		if (w->wa_event ? b->wa_has >= EVENT(0) && has_duty(b->wa_lwp, w->wa_node, w->wa_number) &&
		    strcmp(circle[b->wa_place].pl_has, lockorder_class_name(w->wa_node)) == 0 :
		    w->wa_wants == b->wa_has && (w->wa_exclusive || b->wa_has_exclusive))
			return true;
	}
	return false;
}

/* => waits_lock held: who is at the next place has, for sure in the way of this one, what it waits for */
static bool
waits_for(const struct wait *a, const struct wait *b, uint64_t asleep)
{
	const struct place *pl = &circle[a->wa_place];

	if (b->wa_lock == NULL || b->wa_place != (a->wa_place + 1) % nplaces ||
	    (b->wa_lwp == a->wa_lwp && nplaces != 1))
		return false;
	if (!a->wa_event)
		return b->wa_has == a->wa_wants && (a->wa_exclusive || b->wa_has_exclusive);
	if (pl->pl_any)
		return a->wa_since <= asleep && is_wanted(b, a);
	if (pl->pl_passed)
		return !duties_lost && !has_duty(NULL, a->wa_node, a->wa_number);
	return has_duty(b->wa_lwp, a->wa_node, a->wa_number);
}

/*
 * => waits_lock held: the way of those who wait for each other, from the first one on, has been closed
 * => asleep: with events, and who sleeps since then will not be woken; 0: without
 */
static bool
closed(const struct wait *way[], unsigned n, uint64_t asleep)
{
	if (n == nplaces)
		return waits_for(way[n - 1], way[0], asleep);
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		way[n] = &waits[i];
		if ((asleep != 0 || !way[n]->wa_event) && waits_for(way[n - 1], way[n], asleep) &&
		    closed(way, n + 1, asleep))
			return true;
	}
	return false;
}

/* => " 7", or "" */
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
		const struct wait *w = way[i], *before = way[(i + nplaces - 1) % nplaces];
		const struct place *pl = &circle[w->wa_place];
		/* of an event, that which the one before waits for, if that is what it waits for */
		const uint32_t had = w->wa_has < EVENT(0) ? w->wa_has :
		    circle[before->wa_place].pl_any || circle[before->wa_place].pl_passed ? 0 : before->wa_number;

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s has %s%s and waits for %s%s",
		    i == 0 ? "" : ", ", w->wa_lwp->l_name, pl->pl_has, number(has, had), pl->pl_wants,
		    number(wants, w->wa_event ? w->wa_number : w->wa_wants));
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

	if (n == 0 && !any)
		return;
	host_lock(&waits_lock);
	for (unsigned i = 0; i < n; i++) {
		way[0] = remember(&at[i]);
		if (way[0] != NULL && closed(way, 1, 0))
			deadlock(way);
	}
	if (n == 0)
		(void)remember(&(struct wait){ .wa_lwp = curlwp, .wa_lock = lock, .wa_place = NOWHERE,
		    .wa_wants = lock_number(id), .wa_exclusive = exclusive });
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
lockdirect_sleeps(uint32_t node, uint32_t number)
{
	struct wait at[AT_MAX];
	unsigned n = places_of_event(at, node);
	const uint64_t now = host_now_ns();

	if (n == 0)
		at[0] = (struct wait){ .wa_lwp = curlwp, .wa_lock = curlwp, .wa_place = NOWHERE, .wa_event = true };
	host_lock(&waits_lock);
	for (unsigned i = 0; i < n || i == 0; i++) {
		at[i].wa_node = node;
		at[i].wa_number = number;
		at[i].wa_since = now;
		(void)remember(&at[i]);
	}
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
lockdirect_begins(uint32_t node, uint32_t number)
{
	host_lock(&waits_lock);
	if (nduties < DUTIES_MAX)
		duties[nduties++] = (struct duty){ curlwp, node, number };
	else
		duties_lost = true;
	host_unlock(&waits_lock);
}

void
lockdirect_ends(uint32_t node, uint32_t number)
{
	const struct lwp *l = curlwp;

	host_lock(&waits_lock);
	for (unsigned i = nduties; i-- > 0;)
		if (duties[i].du_lwp == l && duties[i].du_node == node && duties[i].du_number == number) {
			duties[i] = duties[--nduties];
			break;
		}
	host_unlock(&waits_lock);
}

void
lockdirect_stuck(uint64_t patience)
{
	const uint64_t now = host_now_ns();
	const struct wait *way[HOST_PLACES];

	if (!lockdirect_on || now <= patience)
		return;
	host_lock(&waits_lock);
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		way[0] = &waits[i];
		if (waits[i].wa_lock != NULL && waits[i].wa_place != NOWHERE && closed(way, 1, now - patience))
			deadlock(way);
	}
	host_unlock(&waits_lock);
}
