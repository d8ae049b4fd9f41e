#include "reference/local/admission.hpp"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "reference/client/packet_socket.hpp"

namespace feedbench::local {

bool Admission::admits(const ucred& peer) const {
  if (peer.uid == ::geteuid() || peer.uid == 0) return true;
  if (!group) return false;
  if (peer.gid == *group) return true;
  std::array<char, 4096> space{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(peer.uid, &entry, space.data(), space.size(), &found) != 0 || found == nullptr)
    return false;
  std::array<gid_t, 256> groups{};
  int count = static_cast<int>(groups.size());
  if (::getgrouplist(found->pw_name, found->pw_gid, groups.data(), &count) < 0) return false;
  return std::find(groups.begin(), groups.begin() + count, *group) != groups.begin() + count;
}

bool equal_secrets(std::string_view a, std::string_view b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  return difference == 0;
}

bool is_client_name(std::string_view name) {
  return !name.empty() && name.size() <= feedproxy::control::kClientNameBytesMax &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == ':';
         });
}

}  // namespace feedbench::local
