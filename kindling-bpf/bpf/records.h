/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The records of kindling's own programs; the reader's side is src/record.rs. */
#ifndef __KINDLING_RECORDS_H__
#define __KINDLING_RECORDS_H__

#include "kindling.bpf.h"

/*
 * A global function is checked by the verifier once, by itself, and not along every path that leads to it, of which there are
 * too many here. Before Linux 5.12 it can take no pointers, so elsewhere the same functions are inlined.
 */
#ifdef KINDLING_DIRECT
#define SEPARATE __noinline
#else
#define SEPARATE static __always_inline
#endif

enum tag {
	TAG_SEGMENT = 1,
	TAG_DATAGRAM = 2,
	TAG_FLOW_INET = 3,
	TAG_FLOW_UNIX = 4,
	TAG_CLOSED = 5,
	TAG_CONNECT_FAILED = 6,
	TAG_STARTED = 7,
	TAG_RENAMED = 8,
	TAG_EXEC = 9,
	TAG_EXITED = 10,
};

enum direction {
	DIR_OUT = 0,
	DIR_IN = 1,
};

/* Flags of a segment. */
#define SEG_IN 0x01
#define SEG_COUNTED 0x02      /* `seq` means nothing: bytes are counted by the reader */
#define SEG_NOT_TARGETED 0x04 /* moved by a process that is no target */
#define SEG_CONTRADICTS 0x08  /* `seq` does not follow from the call before: two threads moved bytes at once */
#define SEG_ENDED 0x10        /* the other end of a Unix socket is gone */
#define SEG_UNIX 0x20

struct addresses {
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port;
	__u16 remote_port;
	__u16 family; /* 2 or 10; 0 if the remote end is not known */
	__u16 role;
	__u32 netns;
	__u32 pad;
};

struct segment {
	struct kindling_header header;
	__u32 seq;      /* TCP sequence number of the first byte */
	__u32 moved;    /* bytes moved */
	__u32 skipped;  /* bytes before the payload that nobody wanted */
	__u32 captured; /* bytes of payload that follow the record */
	__u32 before;   /* bytes moved past the hooks just before this */
	__u32 dropped;  /* bytes of records that found no room in the ring just before this, where offsets are counted */
	__u32 flags;
	__u32 pad;
	struct addresses addresses; /* of a datagram */
};

enum role {
	ROLE_UNKNOWN = 0,
	ROLE_CLIENT = 1,
	ROLE_SERVER = 2,
};

/* Flags of a flow. */
#define FLOW_MIDSTREAM 0x01
#define FLOW_COUNTED 0x02
#define FLOW_CONNECT 0x04 /* `connect` is known */

struct flow_inet {
	struct kindling_header header;
	struct addresses addresses;
	__u64 connect;
	__u32 first_out;
	__u32 first_in;
	__u32 flags;
	__u32 pad;
};

struct unix_name {
	__u32 len;
	__u32 inode;
	char path[108];
	__u32 pad;
};

struct flow_unix {
	struct kindling_header header;
	struct unix_name local;
	struct unix_name remote;
	__u32 netns;
	__u32 role;
	__u32 flags;
	__u32 pad;
};

struct closed {
	struct kindling_header header;
	__u64 bytes_out;
	__u64 bytes_in;
	__u32 srtt;    /* microseconds, times 8 */
	__u32 rttvar;  /* microseconds, times 4 */
	__u32 retransmits;
	__u32 reset;
};

struct connect_failed {
	struct kindling_header header;
	struct addresses addresses;
	__u64 after;
	__u32 error;
	__u32 pad;
};

struct started {
	struct kindling_header header;
	__u64 boot_start;
	__u32 parent;
	__u32 pad;
};

struct renamed {
	struct kindling_header header;
	char comm[16];
	__u32 exec; /* 1: the name changes because of an exec, whose record follows */
	__u32 pad;
};

struct exec {
	struct kindling_header header;
	char path[256];
};

struct exited {
	struct kindling_header header;
	__u32 status;
	__u32 pad;
};

#endif
