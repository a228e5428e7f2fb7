/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Socket calls: which system call it is, and where its buffer is. Only x86-64 numbers: other ABIs give lengths alone. */
#ifndef __KINDLING_CALL_H__
#define __KINDLING_CALL_H__

#include "flow.h"

#define NR_READ 0
#define NR_WRITE 1
#define NR_READV 19
#define NR_WRITEV 20
#define NR_SENDTO 44
#define NR_RECVFROM 45
#define NR_SENDMSG 46
#define NR_RECVMSG 47
#define NR_RECVMMSG 299
#define NR_SENDMMSG 307

#define TS_COMPAT 0x0002 /* thread_info.status: a 32-bit system call */

#define MSG_OOB 0x01
#define MSG_PEEK 0x02
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000

#define MMSGHDR_SIZE 64 /* struct mmsghdr */

/* A call's arguments as they matter here. */
struct call {
	__u64 buffer; /* one buffer ... */
	__u64 size;
	__u64 iov; /* ... or a vector of them */
	__u64 iovcnt;
	__u64 name; /* user address of the peer's address, 0 if there is none */
	__u64 vec; /* sendmmsg, recvmmsg */
	__u64 vlen;
	__u64 timeout;
	int fd;
	int out;
	int flags;
};

struct iovec_user {
	__u64 base;
	__u64 len;
};

struct msghdr_user {
	__u64 name;
	__u32 namelen;
	__u32 pad;
	__u64 iov;
	__u64 iovlen;
	__u64 control;
	__u64 controllen;
	__u32 flags;
	__u32 pad2;
};

/* A system call's number and first arguments. */
struct arguments {
	__u64 nr;
	__u64 a0, a1, a2, a3, a4;
};

/* What the call does; 0 if it is no socket call. Reads no user memory. */
SEPARATE int decode_call(struct call *c, struct arguments *a)
{
	if (!c || !a)
		return 0;
	__builtin_memset(c, 0, sizeof(*c));
	c->fd = a->a0;
	switch (a->nr) {
	case NR_WRITE:
		c->out = 1;
		/* fallthrough */
	case NR_READ:
		c->buffer = a->a1;
		c->size = a->a2;
		return 1;
	case NR_WRITEV:
		c->out = 1;
		/* fallthrough */
	case NR_READV:
		c->iov = a->a1;
		c->iovcnt = a->a2;
		return 1;
	case NR_SENDTO:
		c->out = 1;
		/* fallthrough */
	case NR_RECVFROM:
		c->buffer = a->a1;
		c->size = a->a2;
		c->flags = a->a3;
		c->name = a->a4;
		return 1;
	case NR_SENDMSG:
		c->out = 1;
		/* fallthrough */
	case NR_RECVMSG:
		c->vec = a->a1;
		c->vlen = 0;
		c->flags = a->a2;
		return 1;
	case NR_SENDMMSG:
		c->out = 1;
		/* fallthrough */
	case NR_RECVMMSG:
		c->vec = a->a1;
		c->vlen = a->a2;
		c->flags = a->a3;
		c->timeout = c->out ? 0 : a->a4;
		return 1;
	}
	return 0;
}

/* Fill in buffers and name of message `index` of a sendmsg-like call. */
SEPARATE int decode_message(struct call *c, __u32 index)
{
	struct msghdr_user m;

	if (!c || bpf_probe_read_user(&m, sizeof(m), (void *)(c->vec + (__u64)index * MMSGHDR_SIZE)))
		return 0;
	c->iov = m.iov;
	c->iovcnt = m.iovlen;
	c->name = m.name;
	return 1;
}

/* The socket behind `fd` of `task`, with its `struct socket`. */
static __always_inline struct socket *socket_of(struct task_struct *task, __u32 fd, struct file **file_out)
{
	struct fdtable *table = KINDLING_READ2(task, files, fdt);
	struct file **slots;
	struct file *file = NULL;

	if (!table || fd >= KINDLING_READ(table, max_fds))
		return NULL;
	slots = KINDLING_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), &slots[fd]) || !file)
		return NULL;
	*file_out = file;
	return BPF_CORE_READ(file, private_data);
}

#endif
