package dissect

import (
	"fmt"
	"strconv"
	"strings"
)

// The categories, by nDPI's number.
const (
	CategoryNone Category = iota
	CategoryMedia
	CategoryVPN
	CategoryEmail
	CategoryDataTransfer
	CategoryWeb
	CategorySocialNetwork
	CategoryDownload
	CategoryGame
	CategoryChat
	CategoryVoIP
	CategoryDatabase
	CategoryRemoteAccess
	CategoryCloud
	CategoryNetwork
	CategoryCollaborative
	CategoryRPC
	CategoryStreaming
	CategorySystem
	CategorySoftwareUpdate

	CategoryMusic Category = iota + 5 // 20 to 24 are the user's own
	CategoryVideo
	CategoryShopping
	CategoryProductivity
	CategoryFileSharing
	CategoryConnCheck
	CategoryIoT
	CategoryVirtAssistant
	CategoryCybersecurity
	CategoryAdultContent

	CategoryMining         Category = 99
	CategoryMalware        Category = 100
	CategoryAdvertisement  Category = 101
	CategoryCryptoCurrency Category = 106
)

var categoryNames = map[Category]string{
	CategoryNone: "Unspecified", CategoryMedia: "Media", CategoryVPN: "VPN", CategoryEmail: "Email",
	CategoryDataTransfer: "DataTransfer", CategoryWeb: "Web", CategorySocialNetwork: "SocialNetwork",
	CategoryDownload: "Download", CategoryGame: "Game", CategoryChat: "Chat", CategoryVoIP: "VoIP",
	CategoryDatabase: "Database", CategoryRemoteAccess: "RemoteAccess", CategoryCloud: "Cloud",
	CategoryNetwork: "Network", CategoryCollaborative: "Collaborative", CategoryRPC: "RPC",
	CategoryStreaming: "Streaming", CategorySystem: "System", CategorySoftwareUpdate: "SoftwareUpdate",
	CategoryMusic: "Music", CategoryVideo: "Video", CategoryShopping: "Shopping",
	CategoryProductivity: "Productivity", CategoryFileSharing: "FileSharing", CategoryConnCheck: "ConnCheck",
	CategoryIoT: "IoT-Scada", CategoryVirtAssistant: "VirtAssistant", CategoryCybersecurity: "Cybersecurity",
	CategoryAdultContent: "AdultContent", CategoryMining: "Mining", CategoryMalware: "Malware",
	CategoryAdvertisement: "Advertisement", CategoryCryptoCurrency: "Crypto_Currency",
}

// String returns nDPI's name of the category, such as "Web", or its number where it has none.
func (c Category) String() string {
	if n, ok := categoryNames[c]; ok {
		return n
	}
	return strconv.Itoa(int(c))
}

// ParseCategory reads a category's name in any case.
func ParseCategory(s string) (Category, error) {
	for c, n := range categoryNames {
		if strings.EqualFold(n, s) {
			return c, nil
		}
	}
	return CategoryNone, fmt.Errorf("unknown category %q: use a name of nDPI such as Web, Network or SocialNetwork", s)
}
