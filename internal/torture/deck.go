package torture

import (
	"math/rand/v2"
	"time"
)

// deck deals every card once before it is shuffled anew, so that nothing is
// left out for long.
type deck[T any] struct {
	random *rand.Rand
	cards  []T
	left   []T
}

func newDeck[T any](random *rand.Rand, cards ...T) *deck[T] {
	return &deck[T]{random: random, cards: cards}
}

func (d *deck[T]) deal() T {
	if len(d.left) == 0 {
		d.left = append(d.left, d.cards...)
		d.random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	card := d.left[0]
	d.left = d.left[1:]
	return card
}

// between draws a time.
func between(random *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(random.Int64N(int64(most-least)+1))
}
