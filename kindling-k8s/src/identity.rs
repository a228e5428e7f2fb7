//! Who an address or a cgroup belongs to.

use std::{fmt, net::IpAddr, sync::Arc};

use kindling_core::{Cgroup, Text, Transport};

/// The Kubernetes identity an address or cgroup belongs to.
///
/// [`Display`](fmt::Display) gives `namespace/pod/container`, `namespace/pod`, `namespace/service` or the node's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Workload {
    /// A container of a pod.
    Container {
        /// The pod.
        pod: Arc<Pod>,
        /// Which of its containers: an index into [`Pod::containers`].
        index: usize,
    },
    /// A pod, where the container is not known.
    Pod(Arc<Pod>),
    /// A service, before its address was translated to that of a pod.
    Service(Arc<Service>),
    /// A node: its own processes, or pods that share its network.
    Node(Arc<Node>),
}

impl Workload {
    /// The pod.
    #[must_use]
    pub const fn pod(&self) -> Option<&Arc<Pod>> {
        match self {
            Self::Container { pod, .. } | Self::Pod(pod) => Some(pod),
            Self::Service(_) | Self::Node(_) => None,
        }
    }

    /// The container.
    #[must_use]
    pub fn container(&self) -> Option<&Container> {
        match self {
            Self::Container { pod, index } => pod.containers.get(*index),
            Self::Pod(_) | Self::Service(_) | Self::Node(_) => None,
        }
    }

    /// What created the pod.
    #[must_use]
    pub fn owner(&self) -> Option<&Owner> {
        self.pod()?.owner.as_ref()
    }

    /// The namespace; nodes have none.
    #[must_use]
    pub fn namespace(&self) -> Option<&Text> {
        match self {
            Self::Container { pod, .. } | Self::Pod(pod) => Some(&pod.namespace),
            Self::Service(service) => Some(&service.namespace),
            Self::Node(_) => None,
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container { pod, .. } | Self::Pod(pod) => {
                write!(f, "{}/{}", pod.namespace, pod.name)?;
                self.container().map_or(Ok(()), |container| write!(f, "/{}", container.name))
            }
            Self::Service(service) => write!(f, "{}/{}", service.namespace, service.name),
            Self::Node(node) => node.name.fmt(f),
        }
    }
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pod {
    /// Unique over time; names are used again.
    pub uid: Text,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// What created it, as people know it: the Deployment rather than the ReplicaSet between them.
    pub owner: Option<Owner>,
    /// The node it runs on; empty until it is scheduled.
    pub node: Text,
    /// Its own addresses. See [`host_network`](Self::host_network).
    pub addresses: Vec<IpAddr>,
    /// Whether it shares the node's network. Its addresses are the node's then, and identify the node.
    pub host_network: bool,
    /// Its containers, init and ephemeral ones included.
    pub containers: Vec<Container>,
}

impl Pod {
    /// A pod by its names.
    #[must_use]
    pub fn new(uid: impl Into<Text>, namespace: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { uid: uid.into(), namespace: namespace.into(), name: name.into(), ..Self::default() }
    }

    /// What created it.
    #[must_use]
    pub fn owner(mut self, kind: impl Into<Text>, name: impl Into<Text>) -> Self {
        self.owner = Some(Owner { kind: kind.into(), name: name.into() });
        self
    }

    /// The node it runs on.
    #[must_use]
    pub fn node(mut self, name: impl Into<Text>) -> Self {
        self.node = name.into();
        self
    }

    /// One more address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// It shares the node's network.
    #[must_use]
    pub const fn host_network(mut self) -> Self {
        self.host_network = true;
        self
    }

    /// One more container.
    #[must_use]
    pub fn container(mut self, container: Container) -> Self {
        self.containers.push(container);
        self
    }
}

/// What created a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, or whatever else.
    pub kind: Text,
    /// Its name.
    pub name: Text,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Container {
    /// The runtime's id; a restarted container has another.
    pub id: Text,
    /// Its name in the pod.
    pub name: Text,
    /// The image it was started from.
    pub image: Text,
    /// Its cgroups: one on a unified host, one for each hierarchy that is read on others.
    pub cgroups: Vec<Cgroup>,
}

impl Container {
    /// A container by its id and name.
    #[must_use]
    pub fn new(id: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { id: id.into(), name: name.into(), ..Self::default() }
    }

    /// The image it was started from.
    #[must_use]
    pub fn image(mut self, image: impl Into<Text>) -> Self {
        self.image = image.into();
        self
    }

    /// One more cgroup.
    #[must_use]
    pub fn cgroup(mut self, cgroup: Cgroup) -> Self {
        self.cgroups.push(cgroup);
        self
    }
}

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Unique over time.
    pub uid: Text,
    /// Its namespace.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
    /// Cluster, external and load balancer addresses. A headless service has none.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<ServicePort>,
}

impl Service {
    /// A service by its names.
    #[must_use]
    pub fn new(uid: impl Into<Text>, namespace: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { uid: uid.into(), namespace: namespace.into(), name: name.into(), ..Self::default() }
    }

    /// One more address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.addresses.push(address);
        self
    }

    /// One more port.
    #[must_use]
    pub fn port(mut self, name: impl Into<Text>, transport: Transport, port: u16) -> Self {
        self.ports.push(ServicePort { name: name.into(), transport, port });
        self
    }
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServicePort {
    /// Its name; may be empty if it is the only one.
    pub name: Text,
    /// What carries it.
    pub transport: Transport,
    /// The port clients connect to.
    pub port: u16,
}

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// Unique over time.
    pub uid: Text,
    /// Its name.
    pub name: Text,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl Node {
    /// A node by its names.
    #[must_use]
    pub fn new(uid: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { uid: uid.into(), name: name.into(), ..Self::default() }
    }

    /// One more address.
    #[must_use]
    pub fn address(mut self, address: IpAddr) -> Self {
        self.addresses.push(address);
        self
    }
}
