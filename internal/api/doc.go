// Package api is the daemon's HTTP side. For now it answers
//
//	GET /         a plain page that lists what is here
//	GET /healthz  200 as long as the process serves
//	GET /readyz   200 when the database answers and its schema suits; 503 and one sentence if not
//	GET /metrics  the metrics of the daemon, and the state of the fleet as the database has it
//	POST /webhooks/{type}/{provider}  a vendor calls; only for providers whose vendor does
//
// /readyz never asks a vendor: a vendor that is down must not take replicas out
// of service, because they are the ones that will finish what they began.
//
// A webhook proves nothing and does nothing but to have a rotation looked at
// that was parked. It is believed by the vendor's signature, which stands in for
// a password.
//
// Errors are application/problem+json (RFC 9457). TLS and passwords come from
// the exporter-toolkit's web configuration file. TLS is for every route,
// passwords are for all but webhooks.
package api
