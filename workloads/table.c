/* Every workload of this build, in the order of `uvmstress list`. */
#include <harness/workload.h>

#include "workloads.h"

const struct workload *const workload_table[] = {
	&wl_anon_fault,
	&wl_cow_fork,
	&wl_shared_anon,
	&wl_file_map,
	&wl_file_io,
	&wl_truncate,
	&wl_loan_tx,
	&wl_loan_read,
	&wl_loan_anon,
	&wl_aobj_shm,
	&wl_map_churn,
	&wl_pressure,
	&wl_mremap_extract,
	&wl_ptp_exhaust,
	&wl_swap_churn,
	&wl_trace,
	&wl_kmem_pool,
	&wl_chaos,
	&wl_device_map,
	&wl_mlock_physio,
	NULL
};
