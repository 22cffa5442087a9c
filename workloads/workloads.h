/* The descriptors; each stands at the end of its own file. */
#ifndef WORKLOADS_WORKLOADS_H
#define WORKLOADS_WORKLOADS_H

#include <harness/workload.h>

extern const struct workload wl_anon_fault;
extern const struct workload wl_aobj_shm;
extern const struct workload wl_chaos;
extern const struct workload wl_cow_fork;
extern const struct workload wl_device_map;
extern const struct workload wl_file_io;
extern const struct workload wl_file_map;
extern const struct workload wl_kmem_pool;
extern const struct workload wl_loan_anon;
extern const struct workload wl_loan_read;
extern const struct workload wl_loan_tx;
extern const struct workload wl_map_churn;
extern const struct workload wl_mlock_physio;
extern const struct workload wl_pressure;
extern const struct workload wl_mremap_extract;
extern const struct workload wl_ptp_exhaust;
extern const struct workload wl_shared_anon;
extern const struct workload wl_swap_churn;
extern const struct workload wl_trace;
extern const struct workload wl_truncate;

#endif /* WORKLOADS_WORKLOADS_H */
