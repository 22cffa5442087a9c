/*
 * Small vocabulary of UVM: inheritance, advice, errors that stay inside.
 */
#ifndef UVM_UVM_PARAM_H
#define UVM_UVM_PARAM_H

#include <errno.h>
#include <machine/vmparam.h>
#include <sys/kernel.h>

typedef int vm_inherit_t;
#define	MAP_INHERIT_SHARE	0
#define	MAP_INHERIT_COPY	1
#define	MAP_INHERIT_NONE	2
#define	MAP_INHERIT_DONATE_COPY	3	/* never implemented: refused */

#define	UVM_ADV_NORMAL		0
#define	UVM_ADV_RANDOM		1
#define	UVM_ADV_SEQUENTIAL	2

#define	UVM_UNKNOWN_OFFSET	((voff_t)-1)

/*
 * ERESTART: the state changed under us, start over; a conversation between two
 * functions, it never leaves the module (glibc's value is kept).
 */

#endif /* UVM_UVM_PARAM_H */
