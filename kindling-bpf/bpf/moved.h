/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Bytes moved on a socket: the same on every capture path. */
#ifndef __KINDLING_MOVED_H__
#define __KINDLING_MOVED_H__

#include "payload.h"

/*
 * Each path's own: make sure that `c` holds the call that moved the bytes, or say 0; what the flows of a datagram socket are
 * numbered by; and the peer of a datagram on an unconnected socket.
 */
static __always_inline int locate(struct call *c, struct sock *sk, struct task_struct *task, int ret, int out, int udp);
static __always_inline __u64 datagram_socket(struct sock *sk);
static __noinline int find_peer(struct moved *m, struct sock *sk, struct call *c);

/* TCP: position by the socket's own counters. 0 if the bytes are to be published without payload. */
static __always_inline int place_tcp(struct moved *m, struct kindling_sock *s, struct sock *sk, int out)
{
	struct tcp_sock *tp = tcp_of(sk);
	__u32 dir = out ? DIR_OUT : DIR_IN;
	__s32 ahead;

	if (!tp || !plain_tcp(sk, tp))
		s->flags |= SOCK_COUNTED;
	if (!tp || (s->flags & SOCK_COUNTED)) {
		m->flags |= SEG_COUNTED;
		return 1;
	}
	m->seq = (out ? KINDLING_READ(tp, write_seq) : received(sk, tp)) - m->len;
	ahead = m->seq - s->next[dir];
	if (!(s->flags & SOCK_NEXT))
		ahead = 0;
	if (ahead > 0)
		m->before = ahead;
	else if (ahead < 0)
		m->flags |= SEG_CONTRADICTS;
	if ((__s32)(m->seq + m->len - s->next[dir]) > 0 || !(s->flags & SOCK_NEXT))
		s->next[dir] = m->seq + m->len;
	/* Where every send is seen, a hole means that two threads wrote at once: `write_seq` counts both and whose bytes are where is not known. */
	if (ALL_SENDS_SEEN && out && ahead)
		m->flags |= SEG_CONTRADICTS;
	return !(m->flags & SEG_CONTRADICTS);
}

static __always_inline int stream(struct sock *sk, struct task_struct *task, int ret, int out, int kind, struct call *c, int flags)
{
	struct kindling_sock *s = sock_state(sk, 0);
	NEW_MOVED(m);
	int target, show;

	target = kindling_target_task(task) || (kind == KIND_TCP && kindling_target_port(sk, task));
	if (!target && (!s || !(s->flags & SOCK_ANNOUNCED)))
		return 0;
	if (!s) {
		s = sock_state(sk, 1);
		if (!s)
			return 0;
	}
	if (!(s->flags & SOCK_ANNOUNCED)) {
		int announced;

		if (kind == KIND_UNIX) {
			announced = announce_unix(s, sk, task);
		} else {
			struct tcp_sock *tp = tcp_of(sk);

			if (!tp || !plain_tcp(sk, tp))
				s->flags |= SOCK_COUNTED;
			announced = announce_inet(s, sk, task, out ? ret : 0, out ? 0 : ret);
		}
		if (!announced) {
			if (ret > 0)
				kindling_lost(KINDLING_LOST_SEGMENT);
			return 0;
		}
	}
	m->flow = s->flow;
	m->len = ret;
	m->flags = out ? 0 : SEG_IN;
	if (kind == KIND_UNIX) {
		m->flags |= SEG_COUNTED | SEG_UNIX;
		if (!ret)
			m->flags |= SEG_ENDED;
		show = 1;
	} else {
		show = place_tcp(m, s, sk, out);
	}
	m->dropped = s->dropped[out ? DIR_OUT : DIR_IN];
	if (!target) {
		m->flags |= SEG_NOT_TARGETED;
		show = 0;
	}
	show = show && apply_budget(m) && !(flags & MSG_TRUNC) && locate(c, sk, task, ret, out, 0);
	if (show ? publish(m, c) : publish_bare(m))
		s->dropped[out ? DIR_OUT : DIR_IN] = 0;
	else
		s->dropped[out ? DIR_OUT : DIR_IN] += ret;
	return 0;
}

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 30;
	x *= 0xbf58476d1ce4e5b9ULL;
	x ^= x >> 27;
	x *= 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

/* The peer of a datagram by a `struct sockaddr` in user memory. */
SEPARATE int read_name(struct addresses *a, __u64 name)
{
	struct {
		__u16 family;
		__u16 port;
		__u32 v4;
		__u8 v6[16];
	} from = {};

	if (!a || !name || bpf_probe_read_user(&from, 8, (void *)name))
		return 0;
	if (from.family == AF_INET) {
		read_v4(a->remote, from.v4);
	} else if (from.family == AF_INET6) {
		if (bpf_probe_read_user(a->remote, 16, (void *)name + 8))
			return 0;
	} else {
		return 0;
	}
	a->remote_port = __builtin_bswap16(from.port);
	return 1;
}

static __always_inline int datagram(struct sock *sk, struct task_struct *task, int ret, int out, struct call *c)
{
	NEW_MOVED(m);
	int show;

	if (!kindling_target_task(task) && !kindling_target_port(sk, task))
		return 0;
	show = locate(c, sk, task, ret, out, 1);
	if (ret < 0)
		return 0;
	m->len = ret;
	m->flags = (out ? 0 : SEG_IN) | SEG_COUNTED;
	m->datagram = 1;
	fill_addresses(&m->addresses, sk, ROLE_UNKNOWN);
	m->addresses.role = udp_role(sk, &m->addresses);
	m->flow = datagram_socket(sk);
	if (!m->addresses.remote_port)
		find_peer(m, sk, show ? c : NULL);
	if (!m->addresses.remote_port)
		m->addresses.family = 0;
	m->flow = mix(mix(mix(m->flow + 0x9e3779b97f4a7c15ULL) ^ *(__u64 *)m->addresses.remote) ^ *(__u64 *)(m->addresses.remote + 8)) ^
		 ((__u64)m->addresses.remote_port << 48);
	if (apply_budget(m) && show)
		publish(m, c);
	else
		publish_bare(m);
	return 0;
}

#endif
