package sim

import (
	"time"

	"rotunda"
)

// Continent is a land mass: what crosses from one to another crosses an ocean, a sea or a desert.
type Continent string

// The continents of the table.
const (
	NorthAmerica Continent = "North America"
	SouthAmerica Continent = "South America"
	Europe       Continent = "Europe"
	MiddleEast   Continent = "Middle East"
	Africa       Continent = "Africa"
	Asia         Continent = "Asia"
	Oceania      Continent = "Oceania"
)

// Place is a region of the world's largest clouds.
type Place struct {
	Region    rotunda.Region
	Azure     string // the region of Azure that stands there
	Continent Continent
}

// RegionsMax is how many regions the table has.
const RegionsMax = 30

// Places are the regions, in the order of roundTrips.
var Places = [RegionsMax]Place{
	{"us-east", "East US", NorthAmerica},
	{"us-central", "Central US", NorthAmerica},
	{"us-south", "South Central US", NorthAmerica},
	{"us-west", "West US", NorthAmerica},
	{"us-northwest", "West US 2", NorthAmerica},
	{"ca-central", "Canada Central", NorthAmerica},
	{"mx-central", "Mexico Central", NorthAmerica},
	{"sa-east", "Brazil South", SouthAmerica},
	{"eu-west", "North Europe", Europe},
	{"uk-south", "UK South", Europe},
	{"fr-central", "France Central", Europe},
	{"eu-central", "Germany West Central", Europe},
	{"eu-north", "Sweden Central", Europe},
	{"es-central", "Spain Central", Europe},
	{"it-north", "Italy North", Europe},
	{"pl-central", "Poland Central", Europe},
	{"il-central", "Israel Central", MiddleEast},
	{"me-central", "UAE North", MiddleEast},
	{"qa-central", "Qatar Central", MiddleEast},
	{"af-south", "South Africa North", Africa},
	{"ap-south", "Central India", Asia},
	{"in-south", "South India", Asia},
	{"ap-southeast", "Southeast Asia", Asia},
	{"id-central", "Indonesia Central", Asia},
	{"ap-east", "East Asia", Asia},
	{"ap-northeast", "Japan East", Asia},
	{"kr-central", "Korea Central", Asia},
	{"au-east", "Australia East", Oceania},
	{"au-southeast", "Australia Southeast", Oceania},
	{"nz-north", "New Zealand North", Oceania},
}

// roundTrips are measured round trips between those regions in milliseconds, each row the distances to the regions before it.
//
// They are Microsoft's "Azure network round-trip latency statistics", 95th percentile of the 30 days to 30 July 2026
// (https://learn.microsoft.com/azure/networking/azure-network-latency, table "all of the data in a single csv"), the mean
// of both directions, rounded. Half of one is taken for the way in one direction. They are the long-haul ways of one
// operator's own network: between providers, or over the public internet, some are longer.
var roundTrips = [RegionsMax][]int{
	{},
	{35},
	{46, 30},
	{73, 42, 41},
	{76, 41, 58, 26},
	{22, 35, 58, 70, 68},
	{64, 48, 24, 54, 74, 74},
	{120, 154, 142, 170, 179, 132, 158},
	{75, 107, 112, 138, 136, 79, 126, 176},
	{80, 114, 119, 144, 144, 84, 136, 184, 14},
	{90, 120, 120, 152, 153, 92, 136, 192, 21, 12},
	{97, 125, 132, 158, 160, 100, 148, 200, 28, 20, 14},
	{109, 142, 144, 168, 165, 114, 161, 206, 38, 35, 42, 32},
	{84, 110, 111, 140, 143, 92, 127, 184, 35, 26, 22, 31, 56},
	{106, 132, 142, 166, 167, 106, 159, 207, 41, 32, 26, 20, 45, 38},
	{108, 134, 144, 168, 169, 114, 156, 212, 38, 34, 34, 26, 29, 50, 32},
	{126, 150, 161, 186, 186, 127, 176, 228, 80, 70, 62, 59, 86, 59, 54, 61},
	{190, 212, 228, 253, 256, 187, 231, 290, 130, 122, 116, 122, 148, 118, 116, 138, 134},
	{178, 204, 196, 236, 238, 179, 213, 278, 118, 108, 104, 108, 120, 106, 96, 126, 130, 16},
	{226, 252, 251, 278, 284, 236, 270, 326, 178, 169, 165, 173, 198, 150, 180, 198, 214, 104, 115},
	{216, 246, 248, 224, 218, 216, 268, 320, 160, 150, 147, 150, 176, 148, 145, 169, 158, 34, 48, 134},
	{245, 232, 242, 203, 196, 246, 252, 342, 178, 168, 164, 168, 192, 168, 160, 188, 169, 55, 66, 155, 24},
	{229, 201, 207, 172, 165, 226, 220, 337, 236, 183, 176, 179, 231, 228, 183, 202, 182, 88, 101, 200, 58, 39},
	{240, 214, 222, 184, 176, 237, 232, 348, 247, 198, 176, 184, 224, 206, 194, 214, 194, 100, 108, 204, 74, 51, 18},
	{208, 182, 180, 152, 145, 205, 196, 315, 266, 274, 278, 244, 262, 236, 246, 248, 214, 120, 130, 272, 96, 74, 40, 52},
	{165, 140, 140, 110, 102, 165, 147, 270, 232, 236, 243, 248, 259, 232, 256, 259, 250, 155, 172, 254, 129, 108, 74, 86, 52},
	{192, 164, 164, 134, 128, 190, 172, 292, 255, 262, 266, 272, 285, 262, 277, 286, 246, 153, 162, 252, 126, 104, 72, 82, 42, 36},
	{206, 178, 183, 142, 180, 207, 197, 298, 272, 277, 280, 290, 305, 268, 286, 300, 272, 180, 188, 348, 152, 133, 98, 112, 128, 105, 134},
	{217, 189, 194, 152, 190, 218, 198, 310, 281, 286, 286, 299, 309, 276, 294, 306, 266, 172, 180, 342, 145, 122, 90, 102, 130, 116, 146, 16},
	{199, 173, 174, 150, 142, 194, 182, 310, 268, 278, 270, 295, 300, 279, 289, 296, 300, 206, 216, 338, 179, 158, 124, 138, 150, 130, 157, 30, 42},
}

// withinRegion is the way between two nodes of one region: availability zones are up to 2 ms of round trip apart
// (https://learn.microsoft.com/azure/reliability/availability-zones-overview).
const withinRegion = time.Millisecond / 2

// OneWay is how long a packet takes from one region of Places to another, or between two nodes of one.
func OneWay(a, b int) time.Duration {
	if a == b {
		return withinRegion
	}
	return time.Duration(roundTrips[max(a, b)][min(a, b)]) * time.Millisecond / 2
}
