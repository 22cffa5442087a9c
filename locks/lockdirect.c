/*
 * Deadlocks that were foretold: see <sys/lockdirect.h>.
 *
 * Place i of the circle: a lock of class i is held, one of class i + 1 wanted.  All of this takes place in
 * controlled schedules, where one LWP runs at a time.
 */
#include <stdio.h>
#include <string.h>

#include <host/sched.h>
#include <sys/lockdirect.h>

#include "lockdebug_int.h"

#define	WAITS_MAX	256		/* more who wait at a time are not looked at */
#define	AT_MAX		8		/* nor more locks that one of them holds */

/* An LWP waits for a lock of the circle, and holds one. */
struct wait {
	const struct lwp *wa_lwp;
	const void *wa_lock;		/* wanted; NULL: nobody */
	uint32_t wa_has, wa_wants;	/* birth numbers */
	unsigned wa_place;
	bool wa_exclusive;		/* how it is wanted */
	bool wa_has_exclusive;
};

bool lockdirect_on;
static unsigned nplaces;		/* : */
static char names[HOST_PLACES][64];	/* : */
static char fingerprint[256];		/* : "lock-cycle:amap>map>amap" */

static struct wait waits[WAITS_MAX];	/* waits_lock */
static struct host_lock waits_lock;	/* innermost */

unsigned
lockdirect_set(const char *circle)
{
	unsigned n = 0;

	lockdirect_on = false;
	memset(waits, 0, sizeof(waits));
	nplaces = 0;
	if (circle == NULL || strlen(circle) >= sizeof(fingerprint) - sizeof("lock-cycle:"))
		return 0;
	snprintf(fingerprint, sizeof(fingerprint), "lock-cycle:%s", circle);
	for (const char *p = circle; n < HOST_PLACES; n++) {
		const size_t len = strcspn(p, ">");

		if (len == 0 || len >= sizeof(names[0]))
			return 0;
		memcpy(names[n], p, len);
		names[n][len] = '\0';
		if (p[len] == '\0')
			break;
		p += len + 1;
	}
	if (n < 2 || n == HOST_PLACES || strcmp(names[n], names[0]) != 0)
		return 0;
	nplaces = n;
	lockdirect_on = true;
	return n;
}

/* --- before a lock is wanted --- */

/* => is the LWP at that place, if it wants a lock of that class, with this one held? */
static bool
at_place(unsigned place, const struct held_lock *hl, const char *wanted)
{
	return (hl->hl_how & LO_EVENT) == 0 && hl->hl_depth == curcpu()->ci_idepth &&
	    strcmp(names[(place + 1) % nplaces], wanted) == 0 &&
	    strcmp(names[place], lockorder_class_name(hl->hl_class)) == 0;
}

/* => the places at which the LWP is, as waits */
static unsigned
places(struct wait *v, unsigned max, const void *lock, uint32_t id, unsigned key, bool exclusive)
{
	const struct held_stack *hs = &curlwp->l_held;
	const char *wanted = lockorder_class_name(LOCKORDER_KEY_CLASS(key));
	unsigned n = 0;

	for (int i = 0; i < hs->hs_n; i++)
		for (unsigned p = 0; p < nplaces && n < max; p++)
			if (at_place(p, &hs->hs_v[i], wanted))
				v[n++] = (struct wait){
					.wa_lwp = curlwp, .wa_lock = lock, .wa_wants = id,
					.wa_has = hs->hs_v[i].hl_id, .wa_place = p, .wa_exclusive = exclusive,
					.wa_has_exclusive = (hs->hs_v[i].hl_how & LO_MODE) == LO_WRITE,
				};
	return n;
}

void
lockdirect_meet(const void *lock, uint32_t id, unsigned key, bool exclusive)
{
	struct wait at[AT_MAX];
	const unsigned n = places(at, AT_MAX, lock, id, key, exclusive);

	for (unsigned i = 0; i < n; i++)
		host_sched_meet(at[i].wa_place, lock_number(at[i].wa_has), lock_number(id));
}

/* --- waiting --- */

/* => who is at the next place has, for sure in the way of this one, what it waits for */
static bool
waits_for(const struct wait *a, const struct wait *b)
{
	return b->wa_lock != NULL && b->wa_place == (a->wa_place + 1) % nplaces &&
	    b->wa_has == a->wa_wants && (a->wa_exclusive || b->wa_has_exclusive);
}

/* => waits_lock held: the way of those who wait for each other, from the first one on, has been closed */
static bool
closed(const struct wait *way[], unsigned n)
{
	if (n == nplaces)
		return waits_for(way[n - 1], way[0]);
	for (unsigned i = 0; i < WAITS_MAX; i++) {
		way[n] = &waits[i];
		if (waits_for(way[n - 1], way[n]) && closed(way, n + 1))
			return true;
	}
	return false;
}

static void __attribute__((noreturn))
deadlock(const struct wait *const way[])
{
	char text[400];
	size_t len = 0;

	for (unsigned i = 0; i < nplaces && len < sizeof(text); i++) {
		const struct wait *w = way[i];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s has %s %u and waits for %s %u",
		    i == 0 ? "" : ", ", w->wa_lwp->l_name, names[w->wa_place], lock_number(w->wa_has),
		    names[(w->wa_place + 1) % nplaces], lock_number(w->wa_wants));
	}
	host_unlock(&waits_lock);
	panic_graded(VIOL_LOCK_ORDER, "lock-cycle", "confirmed", fingerprint, "deadlock: %s", text);
}

void
lockdirect_waits(const void *lock, uint32_t id, unsigned key, bool exclusive)
{
	struct wait at[AT_MAX];
	const struct wait *way[HOST_PLACES];
	const unsigned n = places(at, AT_MAX, lock, id, key, exclusive);

	if (n == 0)
		return;
	host_lock(&waits_lock);
	for (unsigned i = 0, w = 0; i < n; i++) {
		while (w < WAITS_MAX && waits[w].wa_lock != NULL)
			w++;
		if (w == WAITS_MAX)
			break;
		waits[w] = at[i];
		way[0] = &waits[w];
		if (closed(way, 1))
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
