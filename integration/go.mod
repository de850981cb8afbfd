// Tests against real peers and a real kernel. A module of its own, so that the root go.mod stays thin.
module github.com/holdfast-lb/holdfast/integration

go 1.26.0

require github.com/holdfast-lb/holdfast v0.0.0

replace github.com/holdfast-lb/holdfast => ../
