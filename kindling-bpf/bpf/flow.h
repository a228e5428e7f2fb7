/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* What is remembered of a socket, and how a flow is announced: once, with its addresses. */
#ifndef __KINDLING_FLOW_H__
#define __KINDLING_FLOW_H__

#include "records.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_MPTCP 262
#define SOCK_BINDPORT_LOCK 8

#define SOCK_ANNOUNCED 0x01
#define SOCK_RESET 0x02
#define SOCK_COUNTED 0x04
#define SOCK_NEXT 0x08 /* `next` is known */

struct kindling_sock {
	__u64 flow;
	__u64 owner;      /* what tells a socket from another one that took its place in memory, where that is needed */
	__u64 connect_at; /* when connect() began */
	__u32 next[2];    /* sequence number of the next byte, by direction */
	__u32 dropped[2]; /* bytes whose record found no room, by direction */
	__u32 flags;
	__u32 role;
	__u32 pid, tid, ns_pid, ns_tid; /* who connected */
	__u64 cgroup;
	char comm[16];
};

enum kind {
	KIND_NONE,
	KIND_TCP,
	KIND_UDP,
	KIND_UNIX,
};

/* The socket kinds kindling follows; everything else is left alone. */
static __always_inline enum kind kind_of(const struct sock *sk)
{
	__u16 family = KINDLING_READ(sk, __sk_common.skc_family);
	__u16 type = KINDLING_READ(sk, sk_type);

	if (family == AF_UNIX)
		return type == SOCK_STREAM ? KIND_UNIX : KIND_NONE;
	if (family != AF_INET && family != AF_INET6)
		return KIND_NONE;
	if (type == SOCK_STREAM)
		return KIND_TCP;
	return type == SOCK_DGRAM && KINDLING_READ(sk, sk_protocol) == IPPROTO_UDP ? KIND_UDP : KIND_NONE;
}

/* A stream socket as TCP's; NULL if the verifier cannot be convinced (MPTCP is none). */
static __always_inline struct tcp_sock *tcp_of(struct sock *sk)
{
#ifdef KINDLING_DIRECT
	return bpf_skc_to_tcp_sock(sk);
#else
	return (struct tcp_sock *)sk;
#endif
}

/*
 * Whether the socket's sequence numbers count what its user reads and writes. An upper layer protocol (kTLS), a
 * sockmap or another kernel user hangs itself on `icsk_ulp_ops` or `sk_user_data`; MPTCP has another protocol number.
 */
static __always_inline int plain_tcp(struct sock *sk, struct tcp_sock *tp)
{
	return KINDLING_READ(sk, sk_protocol) == IPPROTO_TCP && !KINDLING_READ(sk, sk_user_data) &&
	       !KINDLING_READ(tp, inet_conn.icsk_ulp_ops);
}

static __always_inline void read_v4(__u8 *to, __be32 address)
{
	/* IPv4-mapped, so that both families are 16 bytes. */
	*(__u64 *)to = 0;
	*(__u32 *)(to + 8) = __builtin_bswap32(0xffff);
	*(__u32 *)(to + 12) = address;
}

static __always_inline void fill_addresses(struct addresses *a, struct sock *sk, __u32 role)
{
	a->family = KINDLING_READ(sk, __sk_common.skc_family);
	a->local_port = KINDLING_READ(sk, __sk_common.skc_num);
	a->remote_port = __builtin_bswap16(KINDLING_READ(sk, __sk_common.skc_dport));
	/* Once both directions are shut skc_num is 0, but the port stays here. */
	if (!a->local_port)
		a->local_port = __builtin_bswap16(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	a->netns = KINDLING_READ2(sk, __sk_common.skc_net.net, ns.inum);
	a->role = role;
	a->pad = 0;
	if (a->family == AF_INET) {
		read_v4(a->local, KINDLING_READ(sk, __sk_common.skc_rcv_saddr));
		read_v4(a->remote, KINDLING_READ(sk, __sk_common.skc_daddr));
	} else {
		BPF_CORE_READ_INTO(&a->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&a->remote, sk, __sk_common.skc_v6_daddr);
	}
}

/*
 * Which end a TCP socket is, for those whose handshake was not seen. A listener's backlog is inherited by what it
 * accepts. Else arithmetic tells: a client's SYN counts as one acknowledged byte that was never sent as data.
 */
static __always_inline __u32 tcp_role(struct sock *sk, struct tcp_sock *tp)
{
	__u32 sent, advanced;
	__u8 state = KINDLING_READ(sk, __sk_common.skc_state);

	if (KINDLING_READ(sk, sk_max_ack_backlog))
		return ROLE_SERVER;
	if (state != 1 && state != 8) /* beyond ESTABLISHED and CLOSE_WAIT a FIN may have been counted */
		return ROLE_UNKNOWN;
	sent = KINDLING_READ(tp, bytes_sent) - KINDLING_READ(tp, bytes_retrans);
	advanced = KINDLING_READ(tp, snd_nxt) - KINDLING_READ(tp, snd_una) + (__u32)KINDLING_READ(tp, bytes_acked);
	if (advanced == sent + 1)
		return ROLE_CLIENT;
	return advanced == sent ? ROLE_SERVER : ROLE_UNKNOWN;
}

/* A UDP socket that chose its peer but not its own port is a client. Of any other nothing is certain. */
static __always_inline __u32 udp_role(struct sock *sk, struct addresses *a)
{
	__u8 locks = BPF_CORE_READ_BITFIELD_PROBED(sk, sk_userlocks);

	return a->remote_port && !(locks & SOCK_BINDPORT_LOCK) ? ROLE_CLIENT : ROLE_UNKNOWN;
}

#define SOCK_DONE (1 << 1) /* sock_flag: a FIN came, which is counted as a byte */

/* Where the bytes end that were received so far. A call that finds the FIN behind its bytes takes it with them, and `copied_seq` counts it. */
static __always_inline __u32 received(struct sock *sk, struct tcp_sock *tp)
{
	__u32 end = KINDLING_READ(tp, copied_seq);
	int fin = !!(KINDLING_READ(sk, __sk_common.skc_flags) & SOCK_DONE);

	return end - (fin && end == KINDLING_READ(tp, rcv_nxt));
}

/* Where each direction's bytes began, and whether any moved before now. `moved`: of these, what this call moved. */
static __always_inline void tcp_beginnings(struct flow_inet *r, struct kindling_sock *s, struct sock *sk, struct tcp_sock *tp, __u32 out, __u32 in)
{
	__u32 una = KINDLING_READ(tp, snd_una) - (__u32)KINDLING_READ(tp, bytes_acked);

	r->first_in = KINDLING_READ(tp, rcv_nxt) - (__u32)KINDLING_READ(tp, bytes_received);
	r->first_out = una + (s->role == ROLE_CLIENT);
	s->next[DIR_OUT] = KINDLING_READ(tp, write_seq) - out;
	s->next[DIR_IN] = received(sk, tp) - in;
	s->flags |= SOCK_NEXT;
	if (s->role == ROLE_UNKNOWN || r->first_in != s->next[DIR_IN] || r->first_out != s->next[DIR_OUT])
		r->flags |= FLOW_MIDSTREAM;
}

/* Handshakes complete and fail in whatever task is running: the header is about the one that connected. */
static __always_inline void by_connecting_task(struct kindling_header *h, struct kindling_sock *s)
{
	const struct kindling_config *conf = kindling_conf();

	if (!conf)
		return;
	h->flags |= KINDLING_HAS_TASK | (conf->hierarchy & 3) << KINDLING_HIERARCHY_SHIFT;
	h->pid = s->pid;
	h->tid = s->tid;
	h->ns_pid = s->ns_pid;
	h->ns_tid = s->ns_tid;
	h->cgroup = s->cgroup;
	__builtin_memcpy(h->comm, s->comm, sizeof(s->comm));
}

/* Announce a TCP flow. Runs with no task (`task` NULL) when a handshake completes: then who connected is known. */
static __noinline int announce_inet(struct kindling_sock *s, struct sock *sk, struct task_struct *task, __u32 out, __u32 in)
{
	struct flow_inet *r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_FLOW);
	struct tcp_sock *tp = tcp_of(sk);

	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_FLOW_INET, sizeof(*r), s->flow, task);
	if (!s->role && tp)
		s->role = tcp_role(sk, tp);
	fill_addresses(&r->addresses, sk, s->role);
	r->connect = 0;
	r->first_out = r->first_in = 0;
	r->flags = 0;
	r->pad = 0;
	if (!tp || (s->flags & SOCK_COUNTED))
		r->flags |= FLOW_COUNTED | (s->connect_at ? 0 : FLOW_MIDSTREAM);
	else
		tcp_beginnings(r, s, sk, tp, out, in);
	if (s->connect_at)
		by_connecting_task(&r->header, s);
	if (s->connect_at && !task) {
		r->connect = r->header.at - s->connect_at;
		r->flags |= FLOW_CONNECT;
	}
	kindling_submit(r);
	s->flags |= SOCK_ANNOUNCED;
	return 1;
}

static __always_inline void fill_name(struct unix_name *n, struct sock *sk)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);
	unsigned long inode = 0;
	int len = 0;

	__builtin_memset(n, 0, sizeof(*n));
	if (socket) {
		void *vfs = (void *)socket + bpf_core_field_offset(struct socket_alloc, vfs_inode);

		inode = BPF_CORE_READ((struct inode *)vfs, i_ino);
	}
	n->inode = inode;
	if (!address)
		return;
	len = BPF_CORE_READ(address, len) - 2; /* less the family */
	if (len <= 0 || len > (int)sizeof(n->path))
		return;
	n->len = len;
	bpf_probe_read_kernel(n->path, sizeof(n->path),
			      (void *)address + bpf_core_field_offset(struct unix_address, name) + 2);
}

static __noinline int announce_unix(struct kindling_sock *s, struct sock *sk, struct task_struct *task)
{
	struct flow_unix *r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_FLOW);
	struct sock *peer;

	if (!r)
		return 0;
	kindling_head_of(&r->header, TAG_FLOW_UNIX, sizeof(*r), s->flow, task);
	fill_name(&r->local, sk);
	peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	if (peer)
		fill_name(&r->remote, peer);
	else
		__builtin_memset(&r->remote, 0, sizeof(r->remote));
	/* What a listener accepts inherits its name; who connects seldom has one. */
	r->role = ROLE_UNKNOWN;
	if (!r->local.len && r->remote.len)
		r->role = ROLE_CLIENT;
	else if (r->local.len && !r->remote.len && peer)
		r->role = ROLE_SERVER;
	s->role = r->role;
	r->netns = KINDLING_READ2(sk, __sk_common.skc_net.net, ns.inum);
	r->flags = FLOW_MIDSTREAM | FLOW_COUNTED;
	r->pad = 0;
	kindling_submit(r);
	s->flags |= SOCK_ANNOUNCED;
	return 1;
}

#endif
