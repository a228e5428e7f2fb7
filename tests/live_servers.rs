//! Real servers and clients from Debian's packages, on loopback: what `observe` says of them is what they know themselves.
//!
//! Only processes that the tests started are traced, on each capture path that works here.
#![cfg(feature = "bpf")]

#[expect(dead_code, reason = "these tests run `observe` beside their clients, not to its end")]
mod common;
#[path = "live_servers/dns.rs"]
mod dns;
#[path = "live_servers/http.rs"]
mod http;
#[path = "live_servers/load.rs"]
mod load;
#[path = "live_servers/nginx.rs"]
mod nginx;
#[path = "live_servers/redis.rs"]
mod redis;
#[path = "live_servers/resolver.rs"]
mod resolver;
#[path = "common/servers.rs"]
mod servers;
