/* The page daemon: frees pages before anybody has to wait for them (uvm-spec 8). */
#ifndef UVM_UVM_PDAEMON_H
#define UVM_UVM_PDAEMON_H

#include <stdbool.h>

void	uvm_pdaemon_init(bool unmap_on_deactivate);	/* starts the LWP */
void	uvm_pdaemon_fini(void);
/* => any context to IPL_VM; fpageq not held */
void	uvm_kick_pdaemon(void);
void	uvm_kick_pdaemon_locked(void);	/* fpageq held */
bool	uvm_pdaemon_idle(void);		/* sleeps, and no pageout is in flight */
void	uvm_pageout_start(int npages);	/* paging += n */
void	uvm_pageout_done(int npages);	/* paging -= n, wake waiters */

#endif /* UVM_UVM_PDAEMON_H */
