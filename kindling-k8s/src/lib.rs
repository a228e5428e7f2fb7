//! Kubernetes identity for kindling: which workload an address or cgroup belongs to, and since when.
//!
//! This crate holds the identity types ([`Pod`], [`Container`], [`Service`], [`Node`], together [`Workload`]) and a [`Store`] of them
//! that answers as of a point in time. It does no IO: there is no client of the API server, the kubelet or the container
//! runtime here. Whoever watches one of these puts what it learns into the store.
//!
//! ```
//! use kindling_k8s::{Container, Pod, Store, Workload};
//! use kindling_core::{Cgroup, Hierarchy};
//!
//! const SECOND: u64 = 1_000_000_000;
//! let cgroup = Cgroup { id: 4711, hierarchy: Hierarchy::V2 };
//! let mut store = Store::default();
//! store.put_pod(
//!     Pod::new("8f0c", "shop", "cart-7d9f")
//!         .owner("Deployment", "cart")
//!         .address("10.0.0.7".parse()?)
//!         .container(Container::new("c1", "app").cgroup(cgroup)),
//!     10 * SECOND,
//! );
//! store.remove_pod("8f0c", 60 * SECOND);
//!
//! let then = store.by_cgroup(cgroup, 30 * SECOND).expect("the pod lived then");
//! assert_eq!(then.to_string(), "shop/cart-7d9f/app");
//! assert_eq!(then.owner().map(|owner| owner.name.to_string()), Some("cart".into()));
//! assert!(store.by_address("10.0.0.7".parse()?, 60 * SECOND).is_none(), "it had gone by then");
//! # Ok::<(), std::net::AddrParseError>(())
//! ```

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_methods)]

mod history;
mod identity;
mod store;

pub use crate::{
    identity::{Container, Node, Owner, Pod, Service, ServicePort, Workload},
    store::Store,
};
