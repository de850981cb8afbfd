# make demo   the whole thing at work: two directors, three web servers, one client, real VRRP and IPVS
# make test   every test: unit, race, fuzz corpora, real kernel, real peers
SHELL   := /bin/bash
MODULES := . observe examples integration
export PATH := $(CURDIR)/bin:$(PATH)

.PHONY: all setup build lint test unit sim soak demo incident pictures clean

all: build

setup: ## programs that the lab needs: User Mode Linux, keepalived, nginx, ipvsadm, tcpdump
	@internal/lab/install.sh

build: ## programs into bin/
	@mkdir -p bin
	go build -C examples -o ../bin/ ./...

demo: setup build ## under a minute; works as root, cleans up after itself
	@bin/demo

incident: setup build ## the outage this project starts from, told with real parts
	@bin/incident

lint: bin/staticcheck
	@test -z "$$(gofmt -l .)" || { echo "gofmt -w these files:"; gofmt -l .; exit 1; }
	@set -e; for m in $(MODULES); do echo "lint $$m"; \
		(cd $$m && GOWORK=off go mod tidy -diff && go vet ./... && GOOS=darwin go vet ./... && staticcheck ./...); done

bin/staticcheck: tools/go.mod tools/go.sum
	@mkdir -p bin
	GOWORK=off go build -C tools -o ../bin/ honnef.co/go/tools/cmd/staticcheck

test: setup build lint unit ## what CI runs

unit:
	@set -e; for m in $(MODULES); do echo "test $$m"; (cd $$m && go test -race -count=1 -timeout 15m ./...); done
	go test -count=1 -run 'TestSimulation|TestAnyOrderOfWishes' . ./vrrp

sim: ## a million simulated router-hours of VRRP, 100 times what test does
	go test -count=1 -timeout 6h -run TestSimulation ./vrrp -sim.hours 1000000 -v

soak: setup ## half an hour of faults for two directors with 200 services; CI plays half a minute
	cd integration && HOLDFAST_REQUIRE_LAB=1 HOLDFAST_SOAK=$${HOLDFAST_SOAK:-30m} \
		go test -count=1 -timeout 60m -v ./soak

pictures: setup ## docs/observe*.png anew, with the fonts that they are made with
	@fc-list | grep -q Inter || apt-get install -y -qq --no-install-recommends fonts-inter fonts-jetbrains-mono
	cd integration && HOLDFAST_PICTURES=$(CURDIR)/docs go test -count=1 -run 'TestPagePictures' .

clean:
	rm -rf bin
