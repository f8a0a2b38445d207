package torture

import (
	"math/rand/v2"
	"time"

	"github.com/rotatord/rotatord/internal/sandbox/faults"
)

// ill is one way in which one operation fails.
type ill struct {
	operation string
	kind      faults.Kind
}

// fatal are the faults that nobody can survive: a co-signer that loses the
// share that it has said it holds for good, while the vendor may have swapped
// already. What a daemon does then is tested in package crash: it says so, and
// touches nothing.
var fatal = map[ill]bool{
	{"cosigner.status", faults.LoseState}: true,
	{"cosigner.commit", faults.LoseState}: true,
}

// ills are all faults of the sandbox but the fatal ones.
func ills(operations []faults.Operation) (all []ill) {
	for _, o := range operations {
		for _, k := range o.Kinds() {
			if i := (ill{o.Name, k}); !fatal[i] {
				all = append(all, i)
			}
		}
	}
	return all
}

var statuses = []int{500, 502, 503, 504, 429}

// fault draws how often and how badly an ill strikes.
func (i ill) fault(random *rand.Rand) faults.Fault {
	f := faults.Fault{Operation: i.operation, Kind: i.kind, Rate: 0.02 + 0.3*random.Float64()}
	switch i.kind {
	case faults.Status:
		f.Status = statuses[random.IntN(len(statuses))]
		if f.Status == 429 {
			f.RetryAfter = 1
		}
	case faults.Latency:
		f.Delay = between(random, 50*time.Millisecond, callTimeout+time.Second)
	case faults.LateEffect:
		f.Delay = between(random, 50*time.Millisecond, lateAtMost)
	case faults.ApprovalDelay:
		f.Delay = between(random, 50*time.Millisecond, lateAtMost)
		if i.operation == "cobo.create_tss_request" { // here people confirm before anything is done
			f.Delay *= 4
		}
	case faults.LostRequest: // of a room: the vendor gives up after this
		f.Delay = between(random, 50*time.Millisecond, 2*time.Second)
	}
	return f
}
