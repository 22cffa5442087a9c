/*
 * Between show.c (objects) and show_violation.c (which of them).
 */
#ifndef CHECK_SHOW_INT_H
#define CHECK_SHOW_INT_H

#include <uvm/uvm.h>

bool	show_is_page(const struct vm_page *);
/* => the object's page at the offset, or NULL */
const struct vm_page *show_find_page(const struct uvm_object *, voff_t);
/* => a copy of the entry around the address; false: there is none, or the map cannot be read */
bool	show_find_entry(const struct vm_map *, vaddr_t, struct vm_map_entry *);

#endif /* CHECK_SHOW_INT_H */
