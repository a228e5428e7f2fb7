/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* Publishing a segment: payload goes from the user's buffer straight into the record, whose space comes in a few sizes. */
#ifndef __KINDLING_PAYLOAD_H__
#define __KINDLING_PAYLOAD_H__

#include "call.h"

#define IOV_STEPS 24

/* How much of one direction of a flow is worth copying; user space writes it. */
struct kindling_budget {
	__u64 flow; /* the flow it is for: another one's is ignored */
	__u32 most[2];
	__u32 skip_to[2]; /* TCP sequence number */
	__u32 skip[2];    /* whether skip_to holds */
};

#define BUDGETS 65536

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BUDGETS);
	__type(key, __u32);
	__type(value, struct kindling_budget);
} kindling_budget SEC(".maps");

/* A segment on its way into the ring. */
struct moved {
	__u64 flow;
	struct addresses addresses; /* of a datagram */
	__u32 seq;
	__u32 len;
	__u32 before;
	__u32 dropped;
	__u32 flags;
	__u32 skipped;
	__u32 want; /* payload bytes wanted */
	__u32 datagram;
};

struct source {
	__u64 iov;
	__u64 iovcnt;
	__u32 skip;
	__u32 want;
};

/* Set `skipped` and `want` by the budget of the flow. */
SEPARATE int apply_budget(struct moved *m)
{
	const struct kindling_config *conf = kindling_conf();
	struct kindling_budget *b;
	__u32 dir, index, want;

	if (!m || !conf)
		return 0;
	dir = m->flags & SEG_IN ? DIR_IN : DIR_OUT;
	index = m->flow & (BUDGETS - 1);
	want = m->len < conf->payload ? m->len : conf->payload;
	b = bpf_map_lookup_elem(&kindling_budget, &index);
	m->skipped = 0;
	if (b && b->flow == m->flow) {
		if (want > b->most[dir])
			want = b->most[dir];
		if (b->skip[dir] && !(m->flags & (SEG_COUNTED | SEG_UNIX)) && !m->datagram) {
			__s32 ahead = b->skip_to[dir] - m->seq;

			if (ahead <= 0) {
				/* Passed: sequence numbers wrap, so it must not hold for ever. */
				b->skip[dir] = 0;
			} else {
				m->skipped = (__u32)ahead < m->len ? ahead : m->len;
				if (want > m->len - m->skipped)
					want = m->len - m->skipped;
			}
		}
	}
	m->want = want;
	return want;
}

static __noinline int fill_segment(struct segment *r, struct moved *m, __u32 captured)
{
	kindling_head(&r->header, m->datagram ? TAG_DATAGRAM : TAG_SEGMENT, sizeof(*r) + captured, m->flow);
	r->seq = m->seq;
	r->moved = m->len;
	r->skipped = captured ? m->skipped : 0;
	r->captured = captured;
	r->before = m->before;
	r->dropped = m->dropped;
	r->flags = m->flags;
	r->pad = 0;
	if (m->datagram)
		r->addresses = m->addresses;
	return 0;
}

/*
 * Copy from a vector of buffers. The verifier cannot relate offset and length, so the record has half as much space again as it
 * may use and each step copies at most that half. And it would follow every combination of lengths through the loop, and give
 * up: a value that went through the record is one it knows nothing of, so all combinations look the same.
 */
#define DEFINE_COPY_IOV(N)                                                                              \
	static __noinline __u32 copy_iov_##N(struct segment *r, struct source *s)                       \
	{                                                                                               \
		__u8 *to = (__u8 *)(r + 1);                                                             \
		volatile __u32 *opaque = &r->captured;                                                  \
		struct iovec_user v = {};                                                               \
		__u32 done = 0, want = s->want, index = 0;                                              \
		__u64 skip = s->skip;                                                                   \
		int step;                                                                               \
                                                                                                        \
		for (step = 0; step < IOV_STEPS && done < want; step++) {                               \
			__u64 n;                                                                        \
                                                                                                        \
			if (!v.len) {                                                                   \
				if (index >= s->iovcnt ||                                               \
				    bpf_probe_read_user(&v, sizeof(v), (void *)(s->iov + index * 16)))  \
					break;                                                          \
				index++;                                                                \
				n = v.len < skip ? v.len : skip;                                        \
				skip -= n;                                                              \
				v.base += n;                                                            \
				v.len -= n;                                                             \
			}                                                                               \
			n = want - done < v.len ? want - done : v.len;                                  \
			asm volatile("" : "+r"(n));                                                     \
			if (n > N / 2)                                                                  \
				n = N / 2;                                                              \
			if (bpf_probe_read_user(to + (done & (N - 1)), n, (void *)v.base))              \
				break;                                                                  \
			v.base += n;                                                                    \
			v.len -= n;                                                                     \
			*opaque = done + n;                                                             \
			done = *opaque;                                                                 \
		}                                                                                       \
		return done < want ? done : want;                                                       \
	}

DEFINE_COPY_IOV(1024)
DEFINE_COPY_IOV(4096)
DEFINE_COPY_IOV(16384)

#define FLAT(N)                                                                        \
	({                                                                             \
		struct {                                                               \
			struct segment s;                                              \
			__u8 data[N];                                                  \
		} *r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_SEGMENT);         \
		if (r) {                                                               \
			__u64 n = m->want;                                             \
			asm volatile("" : "+r"(n));                                    \
			if (n > N)                                                     \
				n = N;                                                 \
			if (bpf_probe_read_user(r->data, n, (void *)from))             \
				n = 0;                                                 \
			fill_segment(&r->s, m, n);                                     \
			kindling_submit(r);                                            \
		}                                                                      \
		r != NULL;                                                             \
	})

#define VECTOR(N)                                                              \
	({                                                                     \
		struct {                                                       \
			struct segment s;                                      \
			__u8 data[N + N / 2];                                  \
		} *r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_SEGMENT); \
		if (r) {                                                       \
			fill_segment(&r->s, m, copy_iov_##N(&r->s, s));      \
			kindling_submit(r);                                    \
		}                                                              \
		r != NULL;                                                     \
	})

static __always_inline int flat(struct moved *m, __u64 from)
{
	if (m->want <= 256)
		return FLAT(256);
	if (m->want <= 1024)
		return FLAT(1024);
	if (m->want <= 4096)
		return FLAT(4096);
	return FLAT(16384);
}

static __always_inline int vector(struct moved *m, struct source *s)
{
	if (m->want <= 1024)
		return VECTOR(1024);
	if (m->want <= 4096)
		return VECTOR(4096);
	return VECTOR(16384);
}

static __always_inline int bare(struct moved *m)
{
	struct segment *r = kindling_reserve_as(sizeof(*r), KINDLING_LOST_SEGMENT);

	if (!r)
		return 0;
	fill_segment(r, m, 0);
	kindling_submit(r);
	return 1;
}

#ifdef KINDLING_DIRECT
#define NEW_MOVED(m)              \
	struct moved on_stack = {}; \
	struct moved *m = &on_stack

SEPARATE int publish_flat(struct moved *m, __u64 from)
{
	return m ? flat(m, from) : 0;
}

SEPARATE int publish_vector(struct moved *m, struct source *s)
{
	return m && s ? vector(m, s) : 0;
}

SEPARATE int publish_bare(struct moved *m)
{
	return m ? bare(m) : 0;
}
#else
/* Without pointers to pass, the path says where the thread's segment is. */
struct outgoing {
	struct moved moved;
	struct source source;
};

static __always_inline struct outgoing *outgoing(void);

enum how {
	HOW_BARE,
	HOW_FLAT,
	HOW_VECTOR,
};

__noinline int publish_outgoing(__u64 how, __u64 from)
{
	struct outgoing *o = outgoing();

	if (!o)
		return 0;
	if (how == HOW_FLAT)
		return flat(&o->moved, from);
	return how == HOW_VECTOR ? vector(&o->moved, &o->source) : bare(&o->moved);
}

/* A segment is never on the stack here, which is short, but where `publish_outgoing` looks for it. */
#define NEW_MOVED(m)                                         \
	struct outgoing *out_of = outgoing();                \
	struct moved *m = out_of ? &out_of->moved : NULL; \
	if (!m)                                              \
		return 0;                                    \
	__builtin_memset(m, 0, sizeof(*m))

static __always_inline int publish_as(struct moved *m, struct source *s, __u64 how, __u64 from)
{
	struct outgoing *o = outgoing();

	if (!o)
		return 0;
	if (s)
		o->source = *s;
	return publish_outgoing(how, from);
}

#define publish_flat(m, from) publish_as(m, NULL, HOW_FLAT, from)
#define publish_vector(m, s) publish_as(m, s, HOW_VECTOR, 0)
#define publish_bare(m) publish_as(m, NULL, HOW_BARE, 0)
#endif

/* Publish `m` with the payload that `c` has, or without any if `c` is NULL. 0 if the ring was full. */
SEPARATE int publish(struct moved *m, struct call *c)
{
	if (!m)
		return 0;
	if (!c || !m->want || (!c->iov && !c->buffer))
		return publish_bare(m);
	if (c->buffer) {
		if (m->skipped >= c->size)
			return publish_bare(m);
		if (m->want > c->size - m->skipped)
			m->want = c->size - m->skipped;
		return publish_flat(m, c->buffer + m->skipped);
	}
	struct source s = { .iov = c->iov, .iovcnt = c->iovcnt, .skip = m->skipped, .want = m->want };

	if (s.iovcnt == 1) {
		struct iovec_user v;

		/* The commonest vector by far: one buffer. */
		if (bpf_probe_read_user(&v, sizeof(v), (void *)s.iov) || m->skipped >= v.len)
			return publish_bare(m);
		if (m->want > v.len - m->skipped)
			m->want = v.len - m->skipped;
		return publish_flat(m, v.base + m->skipped);
	}
	return publish_vector(m, &s);
}

#endif
