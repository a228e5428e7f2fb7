/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The system call path, for kernels without the socket tracepoints: the arguments are kept at the entry of a socket call and the
 * result is published at its exit. Everything here must verify on Linux 5.10.
 */
#define ALL_SENDS_SEEN 0 /* io_uring and the kernel's own users send without a system call */
#include "vmlinux.h"
#include "kindling.bpf.h"
#include "lifecycle.h"
#include "moved.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#define NR_SENDFILE 40
#define NR_SPLICE 275
#define TCP_SYN_RECV 3
#define MESSAGES 64 /* of one sendmmsg or recvmmsg */

/* Whether this kernel has bpf_get_socket_cookie for tracing programs (5.12); the loader sets it. */
const volatile __u32 kindling_cookies = 0;

/* Arguments as raw tracepoints have them. Not the kernel's type: its flexible array cannot be relocated by every loader. */
struct raw_args {
	__u64 args[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct kindling_sock);
} kindling_socks SEC(".maps");

/* A call between its entry and its exit. */
struct pending {
	struct call call;
	__u64 sk;
	__u64 inode;
	__u32 bare; /* the bytes are in no buffer of the caller's */
	__u32 pad;
	struct outgoing outgoing;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct pending);
} kindling_calls SEC(".maps");

static __always_inline struct outgoing *outgoing(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct pending *p = bpf_map_lookup_elem(&kindling_calls, &id);

	return p ? &p->outgoing : NULL;
}

static __always_inline __u64 inode_of(struct sock *sk)
{
	struct socket *socket = BPF_CORE_READ(sk, sk_socket);

	if (!socket)
		return 0;
	return BPF_CORE_READ((struct inode *)((void *)socket + bpf_core_field_offset(struct socket_alloc, vfs_inode)), i_ino);
}

/* Without the kernel's cookie a flow is numbered by the socket's inode, with a bit that no cookie has. */
static __always_inline __u64 number_of(struct sock *sk, __u64 inode)
{
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);

	return cookie ? cookie : 1ULL << 63 | inode;
}

static __always_inline struct kindling_sock *sock_state(struct sock *sk, int create)
{
	__u64 key = (__u64)sk, inode = inode_of(sk);
	struct kindling_sock *s = bpf_map_lookup_elem(&kindling_socks, &key);
	struct kindling_sock fresh = {};

	/* Another socket took the place of one whose end nobody told. */
	if (s && inode && s->owner != inode)
		s = NULL;
	if (s || !create)
		return s;
	fresh.owner = inode;
	fresh.flow = number_of(sk, inode);
	if (bpf_map_update_elem(&kindling_socks, &key, &fresh, BPF_ANY)) {
		kindling_lost(KINDLING_LOST_TABLE);
		return NULL;
	}
	return bpf_map_lookup_elem(&kindling_socks, &key);
}

static __always_inline void sock_forget(struct sock *sk)
{
	__u64 key = (__u64)sk;

	bpf_map_delete_elem(&kindling_socks, &key);
}

/* Give every connection its cookie where the verifier knows the socket's type. */
static __always_inline void sock_number(struct sock *sk, int before, int after)
{
	if (kindling_cookies && (after == TCP_SYN_SENT || (before == TCP_SYN_RECV && after == TCP_ESTABLISHED)))
		bpf_get_socket_cookie(sk);
}

static __always_inline int locate(struct call *c, struct sock *sk, struct task_struct *task, int ret, int out, int udp)
{
	return c->buffer || c->iov;
}

static __always_inline __u64 datagram_socket(struct sock *sk)
{
	/* Kept, because anybody may give the socket a cookie meanwhile (`ss -e` does). */
	struct kindling_sock *s = sock_state(sk, 1);

	return s ? s->flow : number_of(sk, inode_of(sk));
}

static __noinline int find_peer(struct moved *m, struct sock *sk, struct call *c)
{
	/* The call is over, so the name of a sender is there as well. */
	if (c)
		read_name(&m->addresses, c->name);
	return 0;
}

/* sendfile and splice move bytes between a socket and a file or pipe. */
static __always_inline int decode_inner(struct pending *p, __u64 nr, struct pt_regs *regs)
{
	__builtin_memset(p, 0, sizeof(*p));
	p->bare = 1;
	p->call.out = 1;
	p->call.fd = nr == NR_SPLICE ? BPF_CORE_READ(regs, dx) : BPF_CORE_READ(regs, di);
	return nr == NR_SPLICE || nr == NR_SENDFILE;
}

static __always_inline struct sock *socket_at(struct task_struct *task, int fd)
{
	struct file *file = NULL;
	struct socket *socket = socket_of(task, fd, &file);
	struct sock *sk;

	if (!socket)
		return NULL;
	/* Any file has private data: only a socket's points to a sock that points back. */
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(socket, file) != file || BPF_CORE_READ(sk, sk_socket) != socket)
		return NULL;
	return kind_of(sk) == KIND_NONE ? NULL : sk;
}

static __always_inline int socket_call(struct call *c, __u64 nr, struct pt_regs *regs)
{
	struct arguments a = {
		.nr = nr,
		.a0 = BPF_CORE_READ(regs, di),
		.a1 = BPF_CORE_READ(regs, si),
		.a2 = BPF_CORE_READ(regs, dx),
		.a3 = BPF_CORE_READ(regs, r10),
		.a4 = BPF_CORE_READ(regs, r8),
	};

	return decode_call(c, &a);
}

SEC("raw_tp/sys_enter")
int kindling_enter(struct raw_args *ctx)
{
	struct pt_regs *regs = (struct pt_regs *)ctx->args[0];
	struct task_struct *task = kindling_task();
	__u64 nr = ctx->args[1], id = bpf_get_current_pid_tgid();
	const struct kindling_config *conf = kindling_conf();
	struct pending p = {};
	struct kindling_sock *s;
	struct sock *sk;
	int target;

	if (!conf || nr > NR_SENDMMSG)
		return 0;
	if (nr == NR_SPLICE || nr == NR_SENDFILE)
		decode_inner(&p, nr, regs);
	else if (!socket_call(&p.call, nr, regs))
		return 0;
	if (BPF_CORE_READ(task, thread_info.status) & TS_COMPAT)
		return 0;
	if (!p.call.out && (p.call.flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)))
		return 0;
	target = kindling_target_task(task);
	sk = socket_at(task, p.call.fd);
	if (!sk && nr == NR_SPLICE) {
		p.call.out = 0;
		p.call.fd = BPF_CORE_READ(regs, di);
		sk = socket_at(task, p.call.fd);
	}
	if (!sk)
		return 0;
	if (!target && !kindling_target_port(sk, task)) {
		s = sock_state(sk, 0);
		if (!s || !(s->flags & SOCK_ANNOUNCED))
			return 0;
	}
	p.sk = (__u64)sk;
	p.inode = inode_of(sk);
	if (bpf_map_update_elem(&kindling_calls, &id, &p, BPF_ANY))
		kindling_lost(KINDLING_LOST_TABLE);
	return 0;
}

/*
 * Message `index` of the thread's call, or its only one: a function of its own for the verifier's sake (see records.h).
 * Its length is the call's result, but for sendmmsg and recvmmsg, which put it into user memory.
 */
__noinline int publish_message(__u64 index, __u64 ret)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct pending *p = bpf_map_lookup_elem(&kindling_calls, &id);
	__u32 len = ret;

	if (!p)
		return 0;
	index &= 1023;
	if (p->call.vlen && bpf_probe_read_user(&len, sizeof(len), (void *)(p->call.vec + index * MMSGHDR_SIZE + 56)))
		return 0;
	if (p->call.vec && !decode_message(&p->call, index))
		return 0;
	datagram((struct sock *)p->sk, kindling_task(), len, p->call.out, &p->call);
	return 1;
}

__noinline int messages(__u64 count)
{
	__u64 i;

	for (i = 0; i < MESSAGES && i < count; i++)
		publish_message(i, 0);
	if (count > MESSAGES)
		kindling_lost_many(KINDLING_LOST_SEGMENT, count - MESSAGES);
	return 0;
}

/* Bytes of several messages of a stream: they follow one another, so one length says it all. */
__noinline int sum_of(__u64 vec, __u64 count)
{
	__u32 len = 0, sum = 0;
	__u64 i;

	for (i = 0; i < MESSAGES && i < count; i++)
		if (!bpf_probe_read_user(&len, sizeof(len), (void *)(vec + i * MMSGHDR_SIZE + 56)))
			sum += len;
	return sum;
}

static __always_inline void finish(struct pending *p, struct task_struct *task, int ret)
{
	struct sock *sk = socket_at(task, p->call.fd);
	int kind;

	if (!sk || (__u64)sk != p->sk || inode_of(sk) != p->inode) {
		/* Another thread closed the descriptor meanwhile. */
		kindling_lost(KINDLING_LOST_SEGMENT);
		return;
	}
	kind = kind_of(sk);
	if (p->call.vlen) {
		if (kind == KIND_UDP) {
			messages(ret);
			return;
		}
		ret = sum_of(p->call.vec, ret);
	} else if (p->call.vec && kind != KIND_UDP) {
		decode_message(&p->call, 0);
	}
	if (kind == KIND_UDP)
		publish_message(0, ret);
	else if (ret || (kind == KIND_UNIX && !p->call.out && BPF_CORE_READ(sk, sk_shutdown) == 3))
		stream(sk, task, ret, p->call.out, kind, &p->call, p->call.flags);
}

SEC("raw_tp/sys_exit")
int kindling_leave(struct raw_args *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct pending *p = bpf_map_lookup_elem(&kindling_calls, &id);
	long ret = ctx->args[1];

	if (!p)
		return 0;
	if (ret >= 0)
		finish(p, kindling_task(), ret);
	bpf_map_delete_elem(&kindling_calls, &id);
	return 0;
}
