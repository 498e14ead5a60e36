//! An endpoint for tocsin that sends alerts as push messages of ntfy (<https://docs.ntfy.sh/publish/>). The module is two
//! pure functions and a third to test a configuration; the host sends the requests.

use extism_pdk::{plugin_fn, FnResult, Json};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

// What the host gives, as far as it is needed here. Other keys are skipped; a null counts as a missing one.

#[derive(Deserialize)]
struct RenderInput {
    endpoint: Endpoint,
    recipient: Recipient,
    deliveries: Vec<Delivery>,
}

#[derive(Deserialize)]
struct Endpoint {
    server_url: String,
    access_token: Option<String>,
}

#[derive(Deserialize)]
struct Recipient {
    topic: Option<String>,
}

#[derive(Deserialize)]
struct Delivery {
    id: String,
    alert: Alert,
    text: String,
    subject: String,
}

#[derive(Deserialize)]
struct Alert {
    category: Option<String>,
    severity: Option<String>,
    action: Option<String>,
}

#[derive(Deserialize)]
struct ClassifyInput {
    response: Option<Response>,
    error: Option<TransportError>,
}

#[derive(Deserialize)]
struct Response {
    status: i64,
    headers: Option<HashMap<String, String>>,
    body: Option<String>,
}

#[derive(Deserialize)]
struct TransportError {
    message: String,
}

#[derive(Deserialize)]
struct ProbeInput {
    endpoint: Endpoint,
    recipient: Option<Recipient>,
}

// What the module returns.

#[derive(Serialize)]
struct RenderOutput {
    requests: Vec<Request>,
}

#[derive(Serialize)]
struct Request {
    deliveries: Vec<String>,
    http: Http,
}

#[derive(Serialize)]
struct Http {
    method: &'static str,
    url: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Header>,
    #[serde(skip_serializing_if = "String::is_empty")]
    body: String,
}

#[derive(Serialize)]
struct Header {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
struct ClassifyOutput {
    verdicts: [Verdict; 1],
}

#[derive(Serialize)]
struct Verdict {
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Serialize)]
struct ProbeOutput {
    steps: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    title: &'static str,
    request: Request,
}

impl Endpoint {
    fn url(&self, path: &str) -> String {
        format!("{}/{}", self.server_url.trim_end_matches('/'), path)
    }

    /// The header with the access token, if there is one. The token is a placeholder that the host replaces.
    fn login(&self) -> Option<Header> {
        let token = self.access_token.as_deref().filter(|t| !t.is_empty())?;
        Some(Header { name: "Authorization", value: format!("Bearer {token}") })
    }
}

impl Alert {
    /// A message's priority, from 1 to 5, and its first tag, which ntfy shows as an emoji.
    fn look(&self) -> (u8, &'static str) {
        if self.action.as_deref() == Some("release") {
            return (2, "white_check_mark");
        }
        match self.severity.as_deref() {
            Some("emergency" | "alert" | "critical") => (5, "rotating_light"),
            Some("error") => (4, "warning"),
            Some("warning") => (3, "warning"),
            Some("notice") => (3, "information_source"),
            Some("info") => (2, "information_source"),
            _ => (1, "information_source"),
        }
    }
}

/// render makes one request of each delivery: the alert's text as the body, the rest in headers.
#[plugin_fn]
pub fn render(Json(input): Json<RenderInput>) -> FnResult<Json<RenderOutput>> {
    let url = input.endpoint.url(input.recipient.topic.as_deref().unwrap_or_default());
    let requests = input.deliveries.into_iter().map(|d| {
        let (priority, mut tags) = { let (p, t) = d.alert.look(); (p, t.to_string()) };
        if let Some(category) = d.alert.category.filter(|c| !c.is_empty()) {
            tags = tags + "," + &category;
        }
        let mut headers = vec![
            Header { name: "Title", value: d.subject },
            Header { name: "Priority", value: priority.to_string() },
            Header { name: "Tags", value: tags },
        ];
        headers.extend(input.endpoint.login());
        Request { deliveries: vec![d.id], http: Http { method: "POST", url: url.clone(), headers, body: d.text } }
    });
    Ok(Json(RenderOutput { requests: requests.collect() }))
}

/// classify says what an answer means. Statuses from 200 to 299 do not come here: the manifest knows them.
#[plugin_fn]
pub fn classify(Json(input): Json<ClassifyInput>) -> FnResult<Json<ClassifyOutput>> {
    Ok(Json(ClassifyOutput { verdicts: [verdict(input)] }))
}

fn verdict(input: ClassifyInput) -> Verdict {
    let say = |outcome, reason: String| Verdict { outcome, retry_after_ms: None, reason };
    let Some(response) = input.response else {
        return say("retry", input.error.map_or("there was no answer".into(), |e| e.message));
    };
    let mut reason = format!("ntfy answered {}", response.status);
    // The body of a failure is {"code": 40101, "http": 401, "error": "unauthorized", ...}.
    let body: Option<serde_json::Value> = response.body.and_then(|b| serde_json::from_str(&b).ok());
    if let Some(error) = body.as_ref().and_then(|b| b.get("error")?.as_str()) {
        reason = reason + ": " + error;
    }
    match response.status {
        200..=299 => say("delivered", String::new()),
        429 | 500.. => {
            let wait = response.headers.and_then(|h| h.get("retry-after")?.parse::<u32>().ok());
            Verdict { outcome: "retry", retry_after_ms: wait.map(|s| u64::from(s) * 1000), reason }
        }
        401 | 403 => say("endpoint_broken", reason + "; check access_token and what it may write to"),
        400 | 413 => say("bad_payload", reason),
        _ => say("rejected", reason),
    }
}

/// probe tests a configuration without a message: whether the server is well, and whether it knows the token.
#[plugin_fn]
pub fn probe(Json(input): Json<ProbeInput>) -> FnResult<Json<ProbeOutput>> {
    let endpoint = input.endpoint;
    let step = |title, path: &str| {
        let http = Http { method: "GET", url: endpoint.url(path), headers: endpoint.login().into_iter().collect(), body: String::new() };
        Step { title, request: Request { deliveries: vec![], http } }
    };
    let mut steps = vec![step("Is the server well?", "v1/health")];
    if let Some(topic) = input.recipient.and_then(|r| r.topic).filter(|t| !t.is_empty()) {
        steps.push(step("Is the topic open to the token?", &format!("{topic}/auth")));
    }
    Ok(Json(ProbeOutput { steps }))
}
