// Command rotatord refreshes the MPC key shares of wallets on schedule.
package main

import (
	"context"
	"os"
)

func main() {
	ctx, signals := catchSignals(context.Background())
	os.Exit(execute(ctx, &cli{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv, signals: signals}, os.Args[1:]))
}
