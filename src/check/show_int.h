/*
 * Between show.c (objects), show_violation.c (which of them) and history.c (what happened to them).
 */
#ifndef CHECK_SHOW_INT_H
#define CHECK_SHOW_INT_H

#include <sys/kernhist.h>
#include <uvm/uvm.h>

bool	show_is_page(const struct vm_page *);
/* => the object's page at the offset, or NULL */
const struct vm_page *show_find_page(const struct uvm_object *, voff_t);
/* => a copy of the entry around the address; false: there is none, or the map cannot be read */
bool	show_find_entry(const struct vm_map *, vaddr_t, struct vm_map_entry *);

#define	HISTORY_EVENTS_MAX	(1u << 18)	/* of all CPUs, looked through */
/* => what all CPUs remember until then, by time; free() it */
struct kern_history_ent *history_by_time(uint64_t until, size_t *np);

#endif /* CHECK_SHOW_INT_H */
