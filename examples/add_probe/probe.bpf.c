/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Two programs of your own: TCP segments sent again, and processes killed for want of memory. Build it with `cargo xtask bpf`, or
 *
 *	clang -target bpf -mcpu=v3 -O2 -g -D__TARGET_ARCH_x86 -I FOLDER_OF_KINDLING_BPF_H -c probe.bpf.c -o probe.bpf.o
 */
#define KINDLING_DIRECT
#include "vmlinux.h"
#include "kindling.bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define TAG_RETRANSMIT (KINDLING_TAG_USER + 1)
#define TAG_OOM_KILL (KINDLING_TAG_USER + 2)

/* The bodies are read by records.rs. */
struct retransmit {
	struct kindling_header header;
	__u32 state; /* of the connection, as in include/net/tcp_states.h */
	__u32 total; /* segments that the connection has sent again until now, this one included */
};

struct oom_kill {
	struct kindling_header header;
	__u64 pages; /* of address space */
	__s32 score_adj;
	__u32 pad;
};

/*
 * A timer sends again, or an arriving packet makes it so: whatever task runs then is a bystander, and `kindling_target()`
 * would ask about the wrong one. What tells is the flow: a socket has a number once kindling has met it at a target.
 */
SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(on_retransmit, const struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	__u64 flow = kindling_flow(sk);
	struct retransmit *r;

	if (!flow || !tp)
		return 0;
	r = kindling_reserve(sizeof(*r));
	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_RETRANSMIT, sizeof(*r), flow, NULL);
	r->state = sk->__sk_common.skc_state;
	r->total = tp->total_retrans;
	kindling_submit(r);
	return 0;
}

/* Fields that kindling's vmlinux.h has no use for: what follows `___` in a name counts for nothing when it is looked up in the kernel. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct mm_struct___size {
	unsigned long total_vm;
};

struct signal_struct___adj {
	short oom_score_adj;
};

struct task_struct___oom {
	struct mm_struct___size *mm;
	struct signal_struct___adj *signal;
};
#pragma clang attribute pop

/* The victim is an argument: the running task is the one that asked for memory. Linux 6.8 and later; before, it was a number. */
SEC("tp_btf/mark_victim")
int BPF_PROG(on_oom_kill, struct task_struct *victim)
{
	struct task_struct___oom *task = (void *)victim;
	struct oom_kill *r;

	if (!kindling_target_task(victim))
		return 0;
	r = kindling_reserve(sizeof(*r));
	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_OOM_KILL, sizeof(*r), 0, victim);
	r->pages = task->mm->total_vm;
	r->score_adj = task->signal->oom_score_adj;
	r->pad = 0;
	kindling_submit(r);
	return 0;
}
