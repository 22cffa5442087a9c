/* The descriptors; each stands at the end of its own file. */
#ifndef WORKLOADS_WORKLOADS_H
#define WORKLOADS_WORKLOADS_H

#include <harness/workload.h>

extern const struct workload wl_anon_fault, wl_aobj_shm, wl_cow_fork, wl_file_map, wl_map_churn,
    wl_shared_anon, wl_trace;

#endif /* WORKLOADS_WORKLOADS_H */
