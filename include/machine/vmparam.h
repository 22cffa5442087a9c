/*
 * The simulated machine's sizes and addresses, and the types that speak of
 * them.
 */
#ifndef MACHINE_VMPARAM_H
#define MACHINE_VMPARAM_H

#include <stdint.h>

typedef uint64_t vaddr_t;	/* virtual address */
typedef uint64_t paddr_t;	/* physical address: frame number << PAGE_SHIFT */
typedef uint64_t vsize_t;
typedef int64_t	 voff_t;	/* offset in an object */
typedef int	 vm_prot_t;

#define	PAGE_SHIFT	12
#define	PAGE_SIZE	(1UL << PAGE_SHIFT)
#define	PAGE_MASK	(PAGE_SIZE - 1)
#define	trunc_page(x)	((x) & ~PAGE_MASK)
#define	round_page(x)	(((x) + PAGE_MASK) & ~PAGE_MASK)
#define	atop(x)		((uint64_t)(x) >> PAGE_SHIFT)
#define	ptoa(x)		((uint64_t)(x) << PAGE_SHIFT)

/* 47 bits of user space, as on amd64; recorded traces keep their addresses. */
#define	VM_MIN_ADDRESS		0x0000000000001000UL
#define	VM_HEAP_ADDRESS		0x0000000100000000UL	/* where brk(2) begins */
#define	VM_MMAP_ADDRESS		0x0000100000000000UL	/* where mmap(2) without a hint looks */
#define	VM_MAXUSER_ADDRESS	0x00007ffffffff000UL
#define	VM_MIN_KERNEL_ADDRESS	0xffff800000000000UL
#define	VM_MAX_KERNEL_ADDRESS	0xffff804000000000UL

#define	VM_PROT_NONE	0
#define	VM_PROT_READ	1
#define	VM_PROT_WRITE	2
#define	VM_PROT_EXECUTE	4
#define	VM_PROT_ALL	7

#endif /* MACHINE_VMPARAM_H */
