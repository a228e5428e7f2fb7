/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * For BPF programs that write into kindling's ring: the record header, reserve and submit, the target filter, flow lookup.
 *
 *	#include "vmlinux.h"           // kindling's, or one made by `bpftool btf dump file /sys/kernel/btf/vmlinux format c`
 *	#include "kindling.bpf.h"
 *
 *	struct retransmit { struct kindling_header header; __u32 state; __u32 pad; };
 *
 *	SEC("tp_btf/tcp_retransmit_skb")
 *	int BPF_PROG(on_retransmit, const struct sock *sk)
 *	{
 *		struct retransmit *r = kindling_flow(sk) ? kindling_reserve(sizeof(*r)) : NULL; // where a target acts, ask kindling_target()
 *		if (!r)
 *			return 0;                            // not met by kindling, or no room, which is counted for you
 *		kindling_head_of(&r->header, 0x8001, sizeof(*r), kindling_flow(sk), NULL); // a timer's doing: nobody's task
 *		r->state = sk->__sk_common.skc_state;
 *		r->pad = 0;
 *		kindling_submit(r);
 *		return 0;
 *	}
 *
 * Define KINDLING_DIRECT before the include if every program of the object is of a kind that may follow BTF pointers
 * (tp_btf, fentry, fexit, iter; Linux 5.11 and later): reads are then plain loads instead of helper calls.
 *
 * The maps below are kindling's own: the loader replaces those of your object by the ones the probe uses already.
 */
#ifndef __KINDLING_BPF_H__
#define __KINDLING_BPF_H__

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

#ifndef NULL
#define NULL ((void *)0)
#endif

/* Version of the records' layout; readers accept all older ones. */
#define KINDLING_RECORDS 1

/* Tags from here on are yours. */
#define KINDLING_TAG_USER 0x8000

/* Flags of a record. */
#define KINDLING_HAS_TASK 0x01
#define KINDLING_HAS_FLOW 0x02
#define KINDLING_HIERARCHY_SHIFT 4 /* two bits: 0 v2, 1 cpu, 2 memory, 3 pids */

/* Every record begins with this. `len` counts the whole record; the space reserved may be larger. */
struct kindling_header {
	__u16 tag;
	__u16 flags;
	__u32 len;
	__u64 at;
	__u64 flow;
	__u32 pid;
	__u32 tid;
	__u32 ns_pid;
	__u32 ns_tid;
	__u64 cgroup;
	char comm[16];
};

/* What the loader tells the programs. User space maps it and changes it by plain stores. */
struct kindling_config {
	__u32 targets;    /* KINDLING_TARGETS_*: which kinds of targets there are */
	__u32 self;       /* process id of the embedding process, 0 if it is not left out */
	__u32 hierarchy;  /* of the cgroup ids in records */
	__u32 payload;    /* most bytes copied of one segment */
	__u32 wake;       /* bytes waiting in the ring that are worth waking the reader */
	__u32 armed;      /* set by the reader when it goes to sleep, cleared by whoever wakes it */
	__u32 pidns;      /* inode number of the embedding process's pid namespace */
	__u32 mmsg;       /* whether the messages of sendmmsg and recvmmsg can be told apart */
};

#define KINDLING_TARGETS_ALL 0x01
#define KINDLING_TARGETS_PIDS 0x02
#define KINDLING_TARGETS_PORTS 0x04
#define KINDLING_TARGETS_CGROUPS 0x10 /* shifted left by the hierarchy: v2 0x10, cpu 0x20, memory 0x40, pids 0x80 */

/* Value of a target process. */
#define KINDLING_PID_TARGET 1
#define KINDLING_PID_DESCENDANTS 2

/* Classes of the loss counters. */
enum kindling_loss {
	KINDLING_LOST_SEGMENT,
	KINDLING_LOST_FLOW,
	KINDLING_LOST_PROCESS,
	KINDLING_LOST_CUSTOM,
	KINDLING_LOST_TABLE,
	KINDLING_LOSSES,
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} kindling_ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct kindling_config);
} kindling_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KINDLING_LOSSES);
	__type(key, __u32);
	__type(value, __u64);
} kindling_losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} kindling_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, __u32);
} kindling_ports SEC(".maps");

struct kindling_cgroup_key {
	__u64 id;
	__u64 hierarchy;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct kindling_cgroup_key);
	__type(value, __u32);
} kindling_cgroup SEC(".maps");

/* Reads of kernel memory: plain loads where the verifier knows the pointers, helper calls elsewhere. */
#ifdef KINDLING_DIRECT
#define KINDLING_READ(p, f) ((p)->f)
#define KINDLING_READ2(p, f, g) ((p)->f->g)
#define KINDLING_READ4(p, f, g, h, i) ((p)->f->g->h->i)
#define kindling_task() ((struct task_struct *)bpf_get_current_task_btf())
#else
#define KINDLING_READ(p, f) BPF_CORE_READ(p, f)
#define KINDLING_READ2(p, f, g) BPF_CORE_READ(p, f, g)
#define KINDLING_READ4(p, f, g, h, i) BPF_CORE_READ(p, f, g, h, i)
#define kindling_task() ((struct task_struct *)bpf_get_current_task())
#endif

static __always_inline const struct kindling_config *kindling_conf(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&kindling_config, &zero);
}

/* Count what is lost; it reaches the stream as an event. */
static __always_inline void kindling_lost_many(__u32 class, __u64 many)
{
	__u64 *count = bpf_map_lookup_elem(&kindling_losses, &class);

	if (count)
		__sync_fetch_and_add(count, many);
}

static __always_inline void kindling_lost(__u32 class)
{
	kindling_lost_many(class, 1);
}

/* Space for a record of constant `size` in the ring, or NULL and the loss is counted. */
static __always_inline void *kindling_reserve_as(__u64 size, __u32 class)
{
	void *record = bpf_ringbuf_reserve(&kindling_ring, size, 0);

	if (!record)
		kindling_lost(class);
	return record;
}

static __always_inline void *kindling_reserve(__u64 size)
{
	return kindling_reserve_as(size, KINDLING_LOST_CUSTOM);
}

/*
 * Publish a record. Waking the reader is dear, so it is done once for a whole batch; the reader looks by itself every few
 * milliseconds, so a wake-up missed by a race delays nothing for longer.
 */
static __always_inline void kindling_submit(void *record)
{
	__u32 zero = 0;
	struct kindling_config *conf = bpf_map_lookup_elem(&kindling_config, &zero);
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (conf && conf->armed && bpf_ringbuf_query(&kindling_ring, BPF_RB_AVAIL_DATA) >= conf->wake) {
		conf->armed = 0;
		flags = BPF_RB_FORCE_WAKEUP;
	}
	bpf_ringbuf_submit(record, flags);
}

/* The thread's number in its own pid namespace, at `level` of the namespaces. */
static __always_inline __u32 kindling_ns_nr(struct pid *pid, __u32 level)
{
	__u32 nr = 0;

	/* Not `numbers[level]`: the array is flexible in newer kernels and some loaders refuse to relocate an index into it. */
	bpf_probe_read_kernel(&nr, sizeof(nr),
			      (void *)pid + bpf_core_field_offset(struct pid, numbers) +
				      (level & 31) * bpf_core_type_size(struct upid) +
				      bpf_core_field_offset(struct upid, nr));
	return nr;
}

/* The cgroup of `task` in a v1 hierarchy, by the controller that names it. */
static __always_inline struct cgroup *kindling_v1_cgroup(struct task_struct *task, __u32 hierarchy)
{
	struct css_set *set = KINDLING_READ(task, cgroups);
	struct cgroup_subsys_state *css = NULL;
	__u64 index = 0;

	if (hierarchy == 1 && bpf_core_enum_value_exists(enum cgroup_subsys_id, cpu_cgrp_id))
		index = bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
	else if (hierarchy == 2 && bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		index = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
	else if (hierarchy == 3 && bpf_core_enum_value_exists(enum cgroup_subsys_id, pids_cgrp_id))
		index = bpf_core_enum_value(enum cgroup_subsys_id, pids_cgrp_id);
	else
		return NULL;
	bpf_probe_read_kernel(&css, sizeof(css),
			      (void *)set + bpf_core_field_offset(struct css_set, subsys) + index * sizeof(void *));
	return css ? BPF_CORE_READ(css, cgroup) : NULL;
}

/* Id of the cgroup of `task` in a hierarchy; 0 if there is none. */
static __always_inline __u64 kindling_cgroup_id(struct task_struct *task, __u32 hierarchy)
{
	struct cgroup *cgroup;

	if (!hierarchy)
		return KINDLING_READ4(task, cgroups, dfl_cgrp, kn, id);
	cgroup = kindling_v1_cgroup(task, hierarchy);
	return cgroup ? BPF_CORE_READ(cgroup, kn, id) : 0;
}

/* Write the header of a record about `task`, or without one. */
static __always_inline void kindling_head_of(struct kindling_header *h, __u16 tag, __u32 len, __u64 flow, struct task_struct *task)
{
	const struct kindling_config *conf = kindling_conf();
	__u32 level;

	h->tag = tag;
	h->flags = flow ? KINDLING_HAS_FLOW : 0;
	h->len = len;
	h->at = bpf_ktime_get_ns();
	h->flow = flow;
	h->pid = h->tid = h->ns_pid = h->ns_tid = 0;
	h->cgroup = 0;
	__builtin_memset(h->comm, 0, sizeof(h->comm));
	if (!task || !conf)
		return;
	h->flags |= KINDLING_HAS_TASK | (conf->hierarchy & 3) << KINDLING_HIERARCHY_SHIFT;
	h->pid = h->ns_pid = KINDLING_READ(task, tgid);
	h->tid = h->ns_tid = KINDLING_READ(task, pid);
	level = KINDLING_READ2(task, thread_pid, level);
	if (level) {
		h->ns_tid = kindling_ns_nr(KINDLING_READ(task, thread_pid), level);
		h->ns_pid = kindling_ns_nr(KINDLING_READ2(task, group_leader, thread_pid), level);
	}
	h->cgroup = kindling_cgroup_id(task, conf->hierarchy);
#ifdef KINDLING_DIRECT
	__builtin_memcpy(h->comm, task->comm, sizeof(h->comm));
#else
	BPF_CORE_READ_INTO(&h->comm, task, comm);
#endif
}

/* Write the header of a record about the running thread. */
static __always_inline void kindling_head(struct kindling_header *h, __u16 tag, __u32 len, __u64 flow)
{
	kindling_head_of(h, tag, len, flow, kindling_task());
}

/* Whether the cgroup of `task` in `hierarchy`, or one above it, is a target. */
static __noinline int kindling_in_cgroup(struct task_struct *task, __u32 hierarchy)
{
	struct kindling_cgroup_key key = { .hierarchy = hierarchy };
	struct cgroup_subsys_state *parent;
	struct cgroup *cgroup;
	int depth;

	if (!hierarchy)
		cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
	else
		cgroup = kindling_v1_cgroup(task, hierarchy);
	for (depth = 0; depth < 16; depth++) {
		if (!cgroup)
			return 0;
		key.id = BPF_CORE_READ(cgroup, kn, id);
		if (bpf_map_lookup_elem(&kindling_cgroup, &key))
			return 1;
		parent = BPF_CORE_READ(cgroup, self.parent);
		if (!parent)
			return 0;
		cgroup = BPF_CORE_READ(parent, cgroup);
	}
	return 0;
}

/* Whether `task` is a target by its process or its cgroup. */
static __always_inline int kindling_target_task(struct task_struct *task)
{
	const struct kindling_config *conf = kindling_conf();
	__u32 tgid = KINDLING_READ(task, tgid);
	__u32 hierarchy;

	if (!conf || !tgid || tgid == conf->self)
		return 0;
	if (conf->targets & KINDLING_TARGETS_ALL)
		return 1;
	if ((conf->targets & KINDLING_TARGETS_PIDS) && bpf_map_lookup_elem(&kindling_pids, &tgid))
		return 1;
	for (hierarchy = 0; hierarchy < 4; hierarchy++)
		if ((conf->targets & (KINDLING_TARGETS_CGROUPS << hierarchy)) && kindling_in_cgroup(task, hierarchy))
			return 1;
	return 0;
}

/* Whether the running thread is a target. */
static __always_inline int kindling_target(void)
{
	return kindling_target_task(kindling_task());
}

/* Whether the local or the remote port of an IP socket is a target. The embedding process is none all the same. */
static __always_inline int kindling_target_port(const struct sock *sk, struct task_struct *task)
{
	const struct kindling_config *conf = kindling_conf();
	__u32 port;

	if (!conf || !(conf->targets & KINDLING_TARGETS_PORTS) || KINDLING_READ(task, tgid) == conf->self)
		return 0;
	port = KINDLING_READ(sk, __sk_common.skc_num);
	if (bpf_map_lookup_elem(&kindling_ports, &port))
		return 1;
	port = __builtin_bswap16(KINDLING_READ(sk, __sk_common.skc_dport));
	return bpf_map_lookup_elem(&kindling_ports, &port) != NULL;
}

/*
 * The flow of a TCP or Unix socket: its cookie. 0 if it has none yet, which kindling gives it with its first event
 * (on kernels before 5.12 flows have ids of their own, and this is 0 always). Datagram sockets have a flow per peer: 0.
 */
static __always_inline __u64 kindling_flow(const struct sock *sk)
{
	if (KINDLING_READ(sk, sk_type) == 2)
		return 0;
	return KINDLING_READ(sk, __sk_common.skc_cookie.counter);
}

#endif
