/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Connections and processes coming and going; the same on every capture path. */
#ifndef __KINDLING_LIFECYCLE_H__
#define __KINDLING_LIFECYCLE_H__

#include "flow.h"

#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8


#define EPIPE 32
#define ECONNRESET 104

/* Each path's own: give a socket its number in time; the state of a socket, if there is any, or made now; and its end. */
static __always_inline void sock_number(struct sock *sk, int before, int after);
static __always_inline struct kindling_sock *sock_state(struct sock *sk, int create);
static __always_inline void sock_forget(struct sock *sk);

static __always_inline void connecting(struct sock *sk)
{
	const struct kindling_config *conf = kindling_conf();
	struct task_struct *task = kindling_task();
	struct kindling_header h;
	struct kindling_sock *s;

	/* The ports are known only once connected, save the remote one, which the filter reads from the socket. */
	if (!kindling_target_task(task) && !kindling_target_port(sk, task))
		return;
	s = sock_state(sk, 1);
	if (!s || !conf)
		return;
	kindling_head_of(&h, 0, 0, 0, task);
	s->connect_at = h.at;
	s->role = ROLE_CLIENT;
	s->pid = h.pid;
	s->tid = h.tid;
	s->ns_pid = h.ns_pid;
	s->ns_tid = h.ns_tid;
	s->cgroup = h.cgroup;
	__builtin_memcpy(s->comm, h.comm, sizeof(s->comm));
	/* A socket may connect again after it failed or was disconnected: a new flow on the old cookie. */
	s->flags = 0;
}

static __always_inline void connect_failed(struct kindling_sock *s, struct sock *sk)
{
	struct connect_failed *r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_FLOW);

	if (!r)
		return;
	kindling_head_of(&r->header, TAG_CONNECT_FAILED, sizeof(*r), s->flow, NULL);
	by_connecting_task(&r->header, s);
	fill_addresses(&r->addresses, sk, ROLE_CLIENT);
	r->after = r->header.at - s->connect_at;
	r->error = KINDLING_READ(sk, sk_err);
	r->pad = 0;
	kindling_submit(r);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(kindling_state, struct sock *sk, int before, int after)
{
	struct kindling_sock *s;

	if (KINDLING_READ(sk, sk_type) != SOCK_STREAM)
		return 0;
	sock_number(sk, before, after);
	if (after == TCP_SYN_SENT) {
		connecting(sk);
		return 0;
	}
	if (after != TCP_CLOSE && before != TCP_SYN_SENT)
		return 0;
	s = sock_state(sk, 0);
	if (!s)
		return 0;
	if (before == TCP_SYN_SENT) {
		if (after == TCP_CLOSE) {
			connect_failed(s, sk);
			sock_forget(sk);
		} else if (after == TCP_ESTABLISHED) {
			struct tcp_sock *tp = tcp_of(sk);

			if (!tp || !plain_tcp(sk, tp))
				s->flags |= SOCK_COUNTED;
			announce_inet(s, sk, NULL, 0, 0);
		}
		return 0;
	}
	/* Neither side said goodbye: an orderly end passes through other states first. */
	if (before == TCP_ESTABLISHED || before == TCP_CLOSE_WAIT || KINDLING_READ(sk, sk_err) == ECONNRESET ||
	    KINDLING_READ(sk, sk_err) == EPIPE)
		s->flags |= SOCK_RESET;
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int BPF_PROG(kindling_destroy, struct sock *sk)
{
	struct kindling_sock *s = sock_state(sk, 0);
	struct tcp_sock *tp = tcp_of(sk);
	struct closed *r;

	if (!s)
		return 0;
	if (tp && (s->flags & SOCK_ANNOUNCED)) {
		r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_FLOW);
		if (r) {
			kindling_head_of(&r->header, TAG_CLOSED, sizeof(*r), s->flow, NULL);
			/* What is acknowledged counts SYN and FIN as well, what was sent does not. */
			r->bytes_out = KINDLING_READ(tp, bytes_sent) - KINDLING_READ(tp, bytes_retrans);
			if (r->bytes_out > KINDLING_READ(tp, bytes_acked))
				r->bytes_out = KINDLING_READ(tp, bytes_acked);
			r->bytes_in = KINDLING_READ(tp, bytes_received) - !!(KINDLING_READ(sk, __sk_common.skc_flags) & SOCK_DONE);
			r->srtt = KINDLING_READ(tp, srtt_us);
			r->rttvar = KINDLING_READ(tp, mdev_us);
			r->retransmits = KINDLING_READ(tp, total_retrans);
			r->reset = !!(s->flags & SOCK_RESET);
			kindling_submit(r);
		}
	}
	sock_forget(sk);
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(kindling_fork, struct task_struct *parent, struct task_struct *child)
{
	__u32 tgid = KINDLING_READ(child, tgid), from = KINDLING_READ(parent, tgid);
	__u32 *kind = bpf_map_lookup_elem(&kindling_pids, &from);
	struct started *r;

	if (kind && *kind == KINDLING_PID_DESCENDANTS && tgid != from) {
		__u32 value = KINDLING_PID_DESCENDANTS;

		if (bpf_map_update_elem(&kindling_pids, &tgid, &value, BPF_ANY))
			kindling_lost(KINDLING_LOST_TABLE);
	}
	if (!kindling_target_task(child))
		return 0;
	r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_PROCESS);
	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_STARTED, sizeof(*r), 0, child);
	r->boot_start = KINDLING_READ(child, start_boottime);
	r->parent = from;
	r->pad = 0;
	kindling_submit(r);
	return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(kindling_rename, struct task_struct *task, const char *comm)
{
	struct renamed *r;

	if (!kindling_target_task(task))
		return 0;
	r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_PROCESS);
	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_RENAMED, sizeof(*r), 0, task);
	__builtin_memset(r->comm, 0, sizeof(r->comm));
	bpf_probe_read_kernel_str(r->comm, sizeof(r->comm), comm);
	r->exec = 0;
	if (bpf_core_field_exists(task->in_execve))
		r->exec = BPF_CORE_READ_BITFIELD_PROBED(task, in_execve);
	r->pad = 0;
	kindling_submit(r);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(kindling_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct exec *r;

	if (!kindling_target_task(task))
		return 0;
	r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_PROCESS);
	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_EXEC, sizeof(*r), 0, task);
	r->path[0] = 0;
	bpf_probe_read_kernel_str(r->path, sizeof(r->path), KINDLING_READ(bprm, filename));
	kindling_submit(r);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(kindling_exit, struct task_struct *task)
{
	__u32 tgid = KINDLING_READ(task, tgid);
	struct exited *r;

	if (!kindling_target_task(task))
		return 0;
	r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_PROCESS);
	if (r) {
		kindling_head_of(&r->header, TAG_EXITED, sizeof(*r), 0, task);
		r->status = KINDLING_READ(task, exit_code);
		r->pad = 0;
		kindling_submit(r);
	}
	/* The process ends with its last thread. */
	if (!KINDLING_READ2(task, signal, live.counter))
		bpf_map_delete_elem(&kindling_pids, &tgid);
	return 0;
}

/* One record for user space to read at once: not a part of the ring. */
struct process {
	__u32 pid;
	__u32 parent;
	__u32 ns_pid;
	__u32 pad;
};

/* All processes of the embedding process's pid namespace, with the numbers the other programs see. */
SEC("iter/task")
int kindling_tasks(struct bpf_iter__task *ctx)
{
	const struct kindling_config *conf = kindling_conf();
	struct task_struct *task = ctx->task;
	struct process p = {};
	struct pid *pid;
	__u32 level, i;

	if (!task || !conf || task->pid != task->tgid)
		return 0;
	pid = BPF_CORE_READ(task, thread_pid);
	if (!pid)
		return 0;
	level = BPF_CORE_READ(pid, level);
	for (i = 0; i < 33 && i <= level; i++) {
		void *upid = (void *)pid + bpf_core_field_offset(struct pid, numbers) + i * bpf_core_type_size(struct upid);
		struct pid_namespace *ns = BPF_CORE_READ((struct upid *)upid, ns);

		if (BPF_CORE_READ(ns, ns.inum) != conf->pidns)
			continue;
		p.pid = BPF_CORE_READ(task, tgid);
		p.parent = BPF_CORE_READ(task, real_parent, tgid);
		p.ns_pid = BPF_CORE_READ((struct upid *)upid, nr);
		bpf_seq_write(ctx->meta->seq, &p, sizeof(p));
		break;
	}
	return 0;
}

#endif
