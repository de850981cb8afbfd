//go:build !race

package vrrp_test

const raceDetector = false
