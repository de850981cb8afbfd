//go:build !unix

package notify

import (
	"errors"
	"os"
)

func makeFIFO(string, string, string) (bool, error) { return false, errors.ErrUnsupported }

func openFIFO(string, string) (*os.File, error) { return nil, errors.ErrUnsupported }
