//! nginx, and the log it keeps of its requests.

use std::{fs, path::Path};

use serde_json::Value;

use crate::servers::Server;

/// One worker under a master, as packages run it, with all the ways to answer that the tests use.
pub(crate) fn start() -> Server {
    Server::start("nginx", |folder, port| {
        for name in ["www", "www/dav"] {
            fs::create_dir(folder.join(name)).unwrap();
        }
        fs::write(folder.join("www/page"), "<p>now: <!--#echo var=\"date_gmt\" --></p>\n".repeat(100)).unwrap();
        fs::write(folder.join("www/zipped"), "a line as any other\n".repeat(2000)).unwrap();
        fs::write(folder.join("www/big"), vec![b'b'; BIG]).unwrap();
        let path = folder.join("nginx.conf");
        fs::write(&path, configuration(folder, port)).unwrap();
        ["-e", "stderr", "-c", path.to_str().unwrap()].map(str::to_owned).into()
    })
}

fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        r#"
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format sizes '$request_method $uri $status $request_length $bytes_sent';
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    client_max_body_size 20m;
    keepalive_requests 1000000;
    sendfile on;
    default_type text/html;
    root {folder}/www;
    server {{
        listen 127.0.0.1:{port};
        access_log {folder}/access.log sizes;
        location = /plain {{ return 200 "plain\n"; }}
        location = /broken {{ return 503; }}
        location = /page {{ ssi on; }}
        location = /zipped {{ gzip on; }}
        location = /churn {{ keepalive_requests 7; return 200 "churn\n"; }}
        location /dav/ {{ dav_methods PUT; }}
        location = /behind {{ proxy_pass http://unix:{folder}/backend:/inner; }}
    }}
    server {{
        listen unix:{folder}/backend;
        access_log off;
        location / {{ return 200 "behind\n"; }}
    }}
}}
"#
    )
}

/// A request, as the client's command, nginx's log and `observe` can all tell it: method, path, status, bytes of request and response.
pub(crate) type Row = (String, String, String, u64, u64);

/// What nginx wrote down, in order.
pub(crate) fn log(server: &Server) -> Vec<Row> {
    let row = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        let [method, path, status, request, response] = fields[..] else { panic!("{line}") };
        (method.into(), path.into(), status.into(), request.parse().unwrap(), response.parse().unwrap())
    };
    server.file("access.log").lines().map(row).collect()
}

/// What `observe` says of the complete exchanges of one side over TCP, in order of the requests.
pub(crate) fn rows(exchanges: &[Value], side: &str) -> Vec<Row> {
    let mut found: Vec<_> = exchanges
        .iter()
        .filter(|e| e["side"] == side && e["transport"] == "tcp" && e["outcome"] == "complete")
        .collect();
    found.sort_by_key(|e| e["request_at"].as_u64());
    let text = |e: &Value, name: &str| e[name].as_str().unwrap_or("-").to_owned();
    let number = |e: &Value, name: &str| e[name].as_u64().unwrap();
    let row = |e: &Value| {
        let sizes = (number(e, "request_bytes"), number(e, "response_bytes"));
        (text(e, "operation"), text(e, "resource"), text(e, "status"), sizes.0, sizes.1)
    };
    found.into_iter().map(row).collect()
}

/// Without the sizes.
pub(crate) fn asked(rows: &[Row]) -> Vec<(&str, &str, &str)> {
    rows.iter().map(|(method, path, status, ..)| (&**method, &**path, &**status)).collect()
}

pub(crate) const BIG: usize = 8 << 20;
