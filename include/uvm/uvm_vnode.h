/*
 * Vnodes: regular files of the host, and the pager for them.
 *
 * A vnode's references are its object's; taking one by id (vnode_find) is the
 * only change of uo_refs without vmobjlock, from a value above 0, so all changes
 * are atomic.  v_lock is VOP_LOCK; v_glock keeps getpages and truncation apart.
 * Vnodes are freed after a grace period.
 */
#ifndef UVM_UVM_VNODE_H
#define UVM_UVM_VNODE_H

#include <sys/kernel.h>
#include <sys/rwlock.h>
#include <uvm/uvm_pager.h>

/*
 *	o  v_uobj.vmobjlock	:  stable after creation	t  vnode table lock
 *	w  v_lock for writing and o to write, either to read
 */
struct vnode {
	struct uvm_object v_uobj;		/* must be first */
	krwlock_t	 v_lock;		/* LC_vnode */
	krwlock_t	 v_glock;		/* LC_glock */
	uint32_t	 v_id;			/* : */
	int		 v_fd;			/* : host file, owned */
	char		 v_name[64];		/* : */
	voff_t		 v_size;		/* w: end of file */
	voff_t		 v_writesize;		/* w: > v_size while a write extends the file, else the same */
	int		 v_numoutput;		/* o: writes in flight */
	int		 v_error;		/* o: first write error not yet reported */
	struct rcu_head	 v_rcu;
	struct vnode	*v_hash;		/* t to write, RCU to read */
};

/*
 * => adopts the host fd (closed with the vnode); size must be the file's.
 * => one reference; may sleep; NULL never.
 */
struct vnode *vnode_create(const char *name, int fd, voff_t size);
/* => by id, with a reference, or NULL; RCU inside. */
struct vnode *vnode_find(uint32_t id);
void	vref(struct vnode *);
/* => the last one writes dirty pages back, frees pages, and the vnode after a grace period. */
void	vrele(struct vnode *);
/* => v_lock not held; truncate or extend the file and the object (uvm_vnp_setsize). */
int	vnode_truncate(struct vnode *, voff_t newsize);
/* => write all dirty pages and wait; 0 or the first I/O error. */
int	vnode_fsync(struct vnode *);
/* => v_lock and v_glock held for writing; pages wholly beyond the end go, the size is stored */
void	uvm_vnp_setsize(struct vnode *, voff_t newsize);
/* => as above, and [off, off + len) is beyond the end, inside the last page */
void	uvm_vnp_zerorange(struct vnode *, voff_t off, vsize_t len);
/*
 * A write extends the file: its pages may be got (PGO_PASTEOF) and written, but nobody sees
 * them through mappings before the end.
 * => v_lock held for writing; newsize > v_size; sleeps for a busy last page
 */
void	uvm_vnp_setwritesize(struct vnode *, voff_t newsize);
/* => the end: reached so far, perhaps not as far as announced; what lies behind goes */
void	uvm_vnp_endwrite(struct vnode *, voff_t reached);
uint64_t vnode_count(void);
void	vnode_init(void);
void	vnode_fini(void);

#endif /* UVM_UVM_VNODE_H */
