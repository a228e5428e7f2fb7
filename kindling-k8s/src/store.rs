//! Identities by address and by cgroup, as of a point in time.

use std::{collections::HashMap, hash::Hash, net::IpAddr, sync::Arc};

use kindling_core::{Cgroup, Endpoint, Text};

use crate::{
    history::History,
    identity::{Node, Pod, Service, Workload},
};

/// What is known of the cluster, now and before.
///
/// Times are nanoseconds since the Unix epoch, as [`Clock::wall_at`](kindling_core::Clock::wall_at) gives them, because
/// objects of the cluster outlive any one host's monotonic clock. Those given to `put_*` and `remove_*` say since when something
/// *was* so (the object's own time stamps), not when the watch told it; a look-up answers for the instant of the exchange.
///
/// Nothing is forgotten by itself but the oldest of more than 32 holders of one key: whoever feeds the store calls
/// [`forget_before`](Self::forget_before) as time goes on.
#[derive(Clone, Debug, Default)]
pub struct Store {
    objects: HashMap<Object, Keys>,
    addresses: HashMap<IpAddr, History<Workload>>,
    cgroups: HashMap<Cgroup, History<Workload>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Object {
    Pod(Text),
    Service(Text),
    Node(Text),
}

/// What an object claims now.
#[derive(Clone, Debug, Default)]
struct Keys {
    addresses: Vec<IpAddr>,
    cgroups: Vec<Cgroup>,
}

impl Store {
    /// Since `at`, `pod` is as given. What it claimed before and does not now ends then.
    ///
    /// The addresses of a pod that shares its node's network stay the node's.
    pub fn put_pod(&mut self, pod: Pod, at: u64) {
        let pod = Arc::new(pod);
        let addresses = if pod.host_network { &[][..] } else { &pod.addresses };
        let addresses = addresses.iter().map(|address| (*address, Workload::Pod(pod.clone()))).collect();
        let cgroups = pod.containers.iter().enumerate().flat_map(|(index, container)| {
            container.cgroups.iter().map({
                let pod = &pod;
                move |cgroup| (*cgroup, Workload::Container { pod: pod.clone(), index })
            })
        });
        let cgroups = cgroups.collect();
        self.put(Object::Pod(pod.uid.clone()), addresses, cgroups, at);
    }

    /// Since `at` the pod is gone.
    pub fn remove_pod(&mut self, uid: impl Into<Text>, at: u64) {
        self.put(Object::Pod(uid.into()), Vec::new(), Vec::new(), at);
    }

    /// Since `at`, `service` is as given.
    pub fn put_service(&mut self, service: Service, at: u64) {
        let service = Arc::new(service);
        let claim = |address: &IpAddr| (*address, Workload::Service(service.clone()));
        let addresses = service.addresses.iter().map(claim).collect();
        self.put(Object::Service(service.uid.clone()), addresses, Vec::new(), at);
    }

    /// Since `at` the service is gone.
    pub fn remove_service(&mut self, uid: impl Into<Text>, at: u64) {
        self.put(Object::Service(uid.into()), Vec::new(), Vec::new(), at);
    }

    /// Since `at`, `node` is as given.
    pub fn put_node(&mut self, node: Node, at: u64) {
        let node = Arc::new(node);
        let claim = |address: &IpAddr| (*address, Workload::Node(node.clone()));
        let addresses = node.addresses.iter().map(claim).collect();
        self.put(Object::Node(node.uid.clone()), addresses, Vec::new(), at);
    }

    /// Since `at` the node is gone.
    pub fn remove_node(&mut self, uid: impl Into<Text>, at: u64) {
        self.put(Object::Node(uid.into()), Vec::new(), Vec::new(), at);
    }

    /// Whose cgroup it was at `at`.
    #[must_use]
    pub fn by_cgroup(&self, cgroup: Cgroup, at: u64) -> Option<&Workload> {
        self.cgroups.get(&cgroup)?.at(at)
    }

    /// Whose address it was at `at`. IPv4-mapped IPv6 addresses are looked up as IPv4.
    #[must_use]
    pub fn by_address(&self, address: IpAddr, at: u64) -> Option<&Workload> {
        self.addresses.get(&address.to_canonical())?.at(at)
    }

    /// Whose address the endpoint had at `at`; Unix sockets have none.
    #[must_use]
    pub fn by_endpoint(&self, endpoint: &Endpoint, at: u64) -> Option<&Workload> {
        match endpoint {
            Endpoint::Inet(address) => self.by_address(address.ip(), at),
            _ => None,
        }
    }

    /// Forget what ended at or before `at`.
    pub fn forget_before(&mut self, at: u64) {
        self.addresses.retain(|_, history| history.forget_before(at));
        self.cgroups.retain(|_, history| history.forget_before(at));
    }

    /// How many addresses and cgroups somebody holds or held.
    #[must_use]
    pub fn keys(&self) -> (usize, usize) {
        (self.addresses.len(), self.cgroups.len())
    }

    fn put(&mut self, object: Object, addresses: Vec<(IpAddr, Workload)>, cgroups: Vec<(Cgroup, Workload)>, at: u64) {
        let addresses: Vec<_> = addresses.into_iter().map(|(address, who)| (address.to_canonical(), who)).collect();
        let now = Keys {
            addresses: addresses.iter().map(|(address, _)| *address).collect(),
            cgroups: cgroups.iter().map(|(cgroup, _)| *cgroup).collect(),
        };
        let before = if now.addresses.is_empty() && now.cgroups.is_empty() {
            self.objects.remove(&object).unwrap_or_default()
        } else {
            self.objects.insert(object.clone(), now.clone()).unwrap_or_default()
        };
        let (Object::Pod(uid) | Object::Service(uid) | Object::Node(uid)) = &object;
        change(&mut self.addresses, uid, at, before.addresses, &now.addresses, addresses);
        change(&mut self.cgroups, uid, at, before.cgroups, &now.cgroups, cgroups);
    }
}

fn change<K: Clone + Eq + Hash>(
    histories: &mut HashMap<K, History<Workload>>,
    holder: &Text,
    at: u64,
    before: Vec<K>,
    now: &[K],
    claims: Vec<(K, Workload)>,
) {
    for key in before.into_iter().filter(|key| !now.contains(key)) {
        if let Some(history) = histories.get_mut(&key) {
            history.release(holder, at);
            if history.is_empty() {
                histories.remove(&key);
            }
        }
    }
    for (key, who) in claims {
        histories.entry(key).or_default().claim(holder, at, who);
    }
}

#[cfg(test)]
mod tests {
    use kindling_core::Hierarchy;

    use super::*;
    use crate::identity::Container;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn name(store: &Store, address: &str, at: u64) -> String {
        store.by_address(ip(address), at).map_or_else(|| "-".into(), ToString::to_string)
    }

    #[test]
    fn an_address_used_again_is_told_apart_by_time() {
        let mut store = Store::default();
        store.put_pod(Pod::new("1", "shop", "cart").address(ip("10.0.0.7")), 10);
        store.put_pod(Pod::new("2", "shop", "search").address(ip("10.0.0.7")), 30);
        store.remove_pod("1", 40);
        let names = [9, 10, 29, 30, 50].map(|at| name(&store, "10.0.0.7", at));
        assert_eq!(names, ["-", "shop/cart", "shop/cart", "shop/search", "shop/search"]);
    }

    #[test]
    fn a_pod_on_the_nodes_network_does_not_take_its_address() {
        let mut store = Store::default();
        store.put_node(Node::new("n", "worker-1").address(ip("192.0.2.1")), 0);
        store.put_pod(Pod::new("1", "kube-system", "proxy").host_network().address(ip("192.0.2.1")), 5);
        assert_eq!(name(&store, "192.0.2.1", 10), "worker-1");
    }

    #[test]
    fn a_restarted_container_has_another_cgroup() {
        let cgroup = |id| Cgroup { id, hierarchy: Hierarchy::V2 };
        let pod = || Pod::new("1", "shop", "cart").owner("Deployment", "cart");
        let mut store = Store::default();
        store.put_pod(pod().container(Container::new("c1", "app").cgroup(cgroup(1))), 10);
        store.put_pod(pod().container(Container::new("c2", "app").cgroup(cgroup(2))), 20);
        let id = |id, at| store.by_cgroup(cgroup(id), at).and_then(Workload::container).map(|c| c.id.to_string());
        assert_eq!([id(1, 15), id(1, 20), id(2, 15), id(2, 20)], [Some("c1".into()), None, None, Some("c2".into())]);
    }

    #[test]
    fn a_cgroup_id_means_nothing_without_its_hierarchy() {
        let mut store = Store::default();
        let v2 = Cgroup { id: 1, hierarchy: Hierarchy::V2 };
        store.put_pod(Pod::new("1", "shop", "cart").container(Container::new("c", "app").cgroup(v2)), 0);
        assert!(store.by_cgroup(v2, 1).is_some());
        assert!(store.by_cgroup(Cgroup { hierarchy: Hierarchy::Cpu, ..v2 }, 1).is_none());
    }

    #[test]
    fn mapped_addresses_and_endpoints_agree() {
        let mut store = Store::default();
        let service = Service::new("s", "shop", "cart").address(ip("::ffff:10.96.0.1"));
        store.put_service(service.port("http", kindling_core::Transport::Tcp, 80), 0);
        assert_eq!(name(&store, "10.96.0.1", 1), "shop/cart");
        let endpoint = Endpoint::from("[::ffff:10.96.0.1]:80".parse::<std::net::SocketAddr>().unwrap());
        assert!(store.by_endpoint(&endpoint, 1).is_some());
        assert!(store.by_endpoint(&Endpoint::Unnamed(3), 1).is_none());
    }

    #[test]
    fn what_ended_is_forgotten_on_demand_and_what_lives_stays() {
        let mut store = Store::default();
        store.put_pod(Pod::new("1", "shop", "old").address(ip("10.0.0.1")), 10);
        store.put_pod(Pod::new("2", "shop", "new").address(ip("10.0.0.2")), 10);
        store.remove_pod("1", 20);
        store.forget_before(20);
        assert_eq!((store.keys(), name(&store, "10.0.0.1", 15)), ((1, 0), "-".into()));
        assert_eq!(name(&store, "10.0.0.2", 1_000), "shop/new");
    }

    #[test]
    fn the_store_can_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Store>();
    }
}
