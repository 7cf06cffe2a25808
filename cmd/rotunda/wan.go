package main

import (
	"slices"
	"time"

	"rotunda"
)

// wanRegions are the regions whose distances are known, in the order of wanRoundTrips.
var wanRegions = []rotunda.Region{
	"us-east", "us-central", "us-west", "ca-central", "sa-east", "eu-west", "eu-central", "af-south", "me-central",
	"ap-south", "ap-southeast", "ap-east", "ap-northeast", "au-southeast",
}

// wanRoundTrips are round trips between those regions in milliseconds, each row the distances to the regions before it.
//
// They are Microsoft's "Azure network round-trip latency statistics", 95th percentile of the 30 days to 30 July 2026
// (https://learn.microsoft.com/azure/networking/azure-network-latency, table "all of the data in a single csv"), the mean
// of both directions, rounded. Our regions stand where these of Azure's do: East US, Central US, West US, Canada Central,
// Brazil South, North Europe, Germany West Central, South Africa North, UAE North, Central India, Southeast Asia, East Asia,
// Japan East, Australia Southeast.
var wanRoundTrips = [][]int{
	{},
	{35},
	{73, 42},
	{22, 35, 70},
	{120, 154, 170, 132},
	{75, 107, 138, 79, 176},
	{97, 125, 158, 100, 200, 28},
	{226, 252, 278, 236, 326, 178, 173},
	{190, 212, 253, 187, 290, 130, 122, 104},
	{216, 246, 224, 216, 320, 160, 150, 134, 34},
	{229, 201, 172, 226, 337, 236, 179, 200, 88, 58},
	{208, 182, 152, 205, 315, 266, 244, 272, 120, 96, 40},
	{165, 140, 110, 165, 270, 232, 248, 254, 155, 129, 74, 52},
	{217, 189, 152, 218, 310, 281, 299, 342, 172, 145, 90, 130, 116},
}

// oneWay is how long a packet takes between two regions: half the round trip; nothing within a region.
// ok is false where the distance is not known.
func oneWay(a, b rotunda.Region) (d time.Duration, ok bool) {
	i, j := slices.Index(wanRegions, a), slices.Index(wanRegions, b)
	if i < 0 || j < 0 {
		return 0, false
	}
	if i == j {
		return 0, true
	}
	return time.Duration(wanRoundTrips[max(i, j)][min(i, j)]) * time.Millisecond / 2, true
}

// wanFrom are the one-way delays from a region to the others, as a node's configuration wants them.
func wanFrom(from rotunda.Region, to []rotunda.Region) map[rotunda.Region]time.Duration {
	delays := map[rotunda.Region]time.Duration{}
	for _, r := range to {
		if d, ok := oneWay(from, r); ok && d > 0 {
			delays[r] = d
		}
	}
	return delays
}
