/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The socket tracepoint path (Linux 6.3 and later): the kernel says which socket moved how many bytes, and the buffer
 * is the one of the system call in progress, if that is provably the call that moved them.
 */
#define KINDLING_DIRECT
#define ALL_SENDS_SEEN 1
#include "vmlinux.h"
#include "kindling.bpf.h"
#include "lifecycle.h"
#include "moved.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct kindling_sock);
} kindling_socks SEC(".maps");

static __always_inline struct kindling_sock *sock_state(struct sock *sk, int create)
{
	struct kindling_sock *s = bpf_sk_storage_get(&kindling_socks, sk, NULL, 0);

	if (s || !create)
		return s;
	s = bpf_sk_storage_get(&kindling_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		kindling_lost(KINDLING_LOST_TABLE);
		return NULL;
	}
	s->flow = bpf_get_socket_cookie(sk);
	return s;
}

static __always_inline void sock_number(struct sock *sk, int before, int after)
{
	/* Its number is asked for when its state is made. */
}

static __always_inline void sock_forget(struct sock *sk)
{
	bpf_sk_storage_delete(&kindling_socks, sk);
}

/* Where a thread is in a sendmmsg or recvmmsg, whose messages all come with the same arguments. */
struct progress {
	__u64 vec;
	__u64 cookie;
	__u32 index;
	__u32 out;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct progress);
} kindling_mmsg SEC(".maps");

/* Who sent the datagram that the thread is receiving: the tracepoint comes before that is told to the caller. */
struct sender {
	__u64 cookie;
	__u8 address[16];
	__u32 port;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct sender);
} kindling_sender SEC(".maps");

/* Which message of its call this is. */
SEPARATE int mmsg_index(struct call *c, __u64 cookie, int ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct progress *p = bpf_map_lookup_elem(&kindling_mmsg, &id);
	struct progress fresh = { .cookie = cookie };
	__u32 index = 0;

	if (!c)
		return 0;
	fresh.vec = c->vec;
	fresh.out = c->out;
	if (p && p->vec == c->vec && p->cookie == cookie && p->out == (__u32)c->out)
		index = p->index;
	/* An error, or the last message, ends the call. */
	if (ret < 0 || index + 1 >= c->vlen) {
		if (p)
			bpf_map_delete_elem(&kindling_mmsg, &id);
		return index;
	}
	fresh.index = index + 1;
	bpf_map_update_elem(&kindling_mmsg, &id, &fresh, BPF_ANY);
	return index;
}

/*
 * The system call in progress, if it is a socket call of this direction on this very socket. Task work, such as an io_uring
 * completion, may run inside any call, and after one: `ax` holds -ENOSYS only until the call has its result.
 */
static __always_inline int current_call(struct call *c, struct sock *sk, struct task_struct *task, int out)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct arguments a;
	struct file *file;

	if (regs->ax != -38UL || (task->thread_info.status & TS_COMPAT))
		return 0;
	a.nr = regs->orig_ax;
	a.a0 = regs->di;
	a.a1 = regs->si;
	a.a2 = regs->dx;
	a.a3 = regs->r10;
	a.a4 = regs->r8;
	if (!decode_call(c, &a) || c->out != out)
		return 0;
	return socket_of(task, c->fd, &file) == sk->sk_socket;
}

/* Buffers and name of a message call. 0 if they are not certain. */
static __always_inline int current_message(struct call *c, struct sock *sk, int ret, int udp)
{
	const struct kindling_config *conf = kindling_conf();
	__u32 index = 0;

	if (!c->vec)
		return 1;
	if (c->vlen) {
		/* A stream may end a batch of messages early without a word, and so may a timeout. */
		if (!udp || c->timeout || !conf || (!conf->mmsg && c->vlen > 1))
			return 0;
		index = mmsg_index(c, bpf_get_socket_cookie(sk), ret);
	}
	return ret >= 0 && decode_message(c, index);
}

static __always_inline int locate(struct call *c, struct sock *sk, struct task_struct *task, int ret, int out, int udp)
{
	return current_call(c, sk, task, out) && current_message(c, sk, ret, udp);
}

static __always_inline __u64 datagram_socket(struct sock *sk)
{
	return bpf_get_socket_cookie(sk);
}

static __noinline int find_peer(struct moved *m, struct sock *sk, struct call *c)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct sender *sender;

	if (!(m->flags & SEG_IN)) {
		if (c)
			read_name(&m->addresses, c->name);
		return 0;
	}
	sender = bpf_map_lookup_elem(&kindling_sender, &id);
	if (sender && sender->cookie == (__u64)sk->__sk_common.skc_cookie.counter && sender->port) {
		__builtin_memcpy(m->addresses.remote, sender->address, 16);
		m->addresses.remote_port = __builtin_bswap16(sender->port);
		sender->port = 0;
	}
	return 0;
}

static __always_inline int moved(struct sock *sk, int ret, int flags, int out)
{
	struct task_struct *task = kindling_task();
	enum kind kind = kind_of(sk);
	struct call c = {};

	if (!sk || (!out && (flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))))
		return 0;
	if (kind == KIND_UDP)
		return datagram(sk, task, ret, out, &c);
	if (kind == KIND_NONE || ret < 0)
		return 0;
	if (!ret && (kind != KIND_UNIX || out || sk->sk_shutdown != 3))
		return 0;
	return stream(sk, task, ret, out, kind, &c, flags);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(kindling_send, struct sock *sk, int ret, int flags)
{
	return moved(sk, ret, flags, 1);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(kindling_recv, struct sock *sk, int ret, int flags)
{
	return moved(sk, ret, flags, 0);
}

static __always_inline int received_from(struct bpf_sock_addr *ctx, struct sender *sender)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 zero = 0;
	struct kindling_config *conf = bpf_map_lookup_elem(&kindling_config, &zero);

	if (!conf || id >> 32 == conf->self)
		return 1;
	sender->cookie = bpf_get_socket_cookie(ctx);
	bpf_map_update_elem(&kindling_sender, &id, sender, BPF_ANY);
	return 1;
}

SEC("cgroup/recvmsg4")
int kindling_from4(struct bpf_sock_addr *ctx)
{
	struct sender sender = { .port = ctx->user_port };

	read_v4(sender.address, ctx->user_ip4);
	return received_from(ctx, &sender);
}

SEC("cgroup/recvmsg6")
int kindling_from6(struct bpf_sock_addr *ctx)
{
	struct sender sender = { .port = ctx->user_port };
	__u32 *to = (__u32 *)sender.address;

	to[0] = ctx->user_ip6[0];
	to[1] = ctx->user_ip6[1];
	to[2] = ctx->user_ip6[2];
	to[3] = ctx->user_ip6[3];
	return received_from(ctx, &sender);
}
