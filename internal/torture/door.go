package torture

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// door is where one replica finds vendors and co-signer. It can be shut, and
// it can be watched for calls that change something.
type door struct {
	handler http.Handler
	address string         // stays the same, however often it is shut
	serving sync.WaitGroup // handlers and servers

	mu      sync.Mutex
	server  *http.Server // nil while it is shut
	watched bool
	changes []time.Time // calls that change something, while it is watched
}

func newDoor(handler http.Handler) (*door, error) {
	d := &door{handler: handler, address: "127.0.0.1:0"}
	return d, d.open()
}

func (d *door) url() string { return "http://" + d.address }

// watch begins to note when calls come that change something.
func (d *door) watch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watched, d.changes = true, nil
}

// seen ends that, and returns when they came.
func (d *door) seen() []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watched = false
	return d.changes
}

// ServeHTTP hands on what comes in.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	if d.server == nil {
		d.mu.Unlock()
		panic(http.ErrAbortHandler) // it came in while the door was being shut
	}
	d.serving.Add(1)
	if d.watched && r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/authenticate") {
		d.changes = append(d.changes, time.Now())
	}
	d.mu.Unlock()
	defer d.serving.Done()
	d.handler.ServeHTTP(w, r)
}

// openTries is how often a port is asked for that was ours: somebody may have
// it as the local end of a connection, which does not last.
const openTries = 100

func (d *door) open() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != nil {
		return nil
	}
	var l net.Listener
	var err error
	for range openTries {
		if l, err = net.Listen("tcp", d.address); err == nil {
			break
		}
		<-time.After(50 * time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("opening the vendors' door: %w", err)
	}
	d.address = l.Addr().String()
	server := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second}
	d.server = server
	d.serving.Go(func() { _ = server.Serve(l) }) // ends with shut alone
	return nil
}

// shut closes the listener and breaks every connection. What is being handled
// goes on, unheard.
func (d *door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.server != nil {
		_ = d.server.Close() // there is nothing to be done about a listener that does not close
		d.server = nil
	}
}

// cut breaks every connection.
func (d *door) cut() error {
	d.shut()
	return d.open()
}

// close waits for what is being handled.
func (d *door) close() {
	d.shut()
	d.serving.Wait()
}
