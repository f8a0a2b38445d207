// Package relay is the MPC room between the two parties of a refresh, over
// HTTP, and the protocol the parties speak in it.
//
// A room is opened by the vendor half and known by a 32-character id, which is
// also the right to enter it. A party posts its messages by round and fetches
// the other's with a long poll:
//
//	POST {base}/{room}/{party}?round=0    own message; 204, again with the same body 204, another body 409
//	GET  {base}/{room}/{party}?round=0    the other's message; 200, or 204 when it did not come yet: ask again
//
// party is "vendor" or "client". A room that is not known is 404, one whose
// ceremony has ended or failed is 410. After an ended ceremony, messages that
// were posted before can still be fetched: the slower party must be able to
// read the last one. After a failed one, nothing can.
//
// The ceremony has two rounds. In round 0 each party sends its [mpc.Delta]; in
// round 1 it sends the public point of its new share, and checks the other's.
// Only a party that saw the other confirm has a new share.
package relay
