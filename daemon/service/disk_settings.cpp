#include "service/disk_settings.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <memory>
#include <system_error>
#include <utility>

#include "service/configuration.hpp"
#include "service/quantities.hpp"

namespace onced::service {
namespace {

Error invalid(std::string text) { return Error{ErrorCode::invalid_argument, std::move(text)}; }
Error failed(int number, const std::string& action, const std::string& path) {
  return Error{ErrorCode::unavailable, "disk.path: cannot " + action + " " + path + ": " + std::generic_category().message(number)};
}

// Every namespace with what it says, the one that is always there included.
template <typename Take>
void for_each_namespace(const Configuration& configuration, const Take& take) {
  take(std::string("default"), configuration.default_rules.disk);
  for (const auto& [name, space] : configuration.namespaces) take(name, space.rules.disk);
}

std::string octal(std::uint32_t mode) {
  std::string text;
  for (int shift = 9; shift >= 0; shift -= 3) text += static_cast<char>('0' + ((mode >> shift) & 7U));
  return text;
}

std::string without_end(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

struct Directory {
  explicit Directory(int number) : descriptor(number) {}
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    if (descriptor >= 0) ::close(descriptor);
  }
  int descriptor;
};

// Its entry must outlive a power loss, or what was reported durable in it does not.
Result<void> sync_parent(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  const Directory opened(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Whoever may make a directory in it need not be let read it; then there is no way to sync it.
  if (opened.descriptor < 0) return errno == EACCES ? Result<void>() : Result<void>(failed(errno, "open", parent));
  if (::fsync(opened.descriptor) != 0 && errno != EINVAL) return failed(errno, "sync", parent);
  return {};
}

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST) return {};
    if (errno == ENOENT) {
      return Error{ErrorCode::not_found, "disk.path: cannot make " + path + ": its parent is not there; make that one, or name another directory"};
    }
    return failed(errno, "make", path);
  }
  // A parent with the set-group-ID bit would hand that on, and the umask may have taken something away.
  if (::chmod(path.c_str(), 0700) != 0) return failed(errno, "set the mode of", path);
  return sync_parent(path);
}

std::string below(const std::string& path, const std::string& name) { return (path == "/" ? "" : path) + "/" + name; }

Result<void> check_owner(const struct stat& found, const std::string& path) {
  const auto refuse = [&](const std::string& text) { return Error{ErrorCode::not_permitted, "disk.path: " + path + text}; };
  if (!S_ISDIR(found.st_mode)) return refuse(" is no directory");
  if (found.st_uid == ::geteuid()) return {};
  return refuse(" belongs to uid " + std::to_string(found.st_uid) + ", the daemon runs as uid " + std::to_string(::geteuid()) +
                ": it must be the daemon's own; name a directory that is, or one that is not there yet");
}

Result<void> check_mode(const struct stat& found, const std::string& path) {
  const std::uint32_t mode = found.st_mode & 07777U;
  if (mode == 0700) return {};
  return Error{ErrorCode::not_permitted, "disk.path: " + path + " has mode " + octal(mode) + ", it must be 0700: others could read or replace values; chmod u=rwx,go=,g-s,u-s,-t " + path};
}

// In order; without what a file system puts into its own root.
Result<std::vector<std::string>> names_in(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(path.c_str()), &::closedir);
  if (stream == nullptr) return failed(errno, "list", path);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    const dirent* const entry = ::readdir(stream.get());
    if (entry == nullptr && errno != 0) return failed(errno, "list", path);
    if (entry == nullptr) break;
    const std::string name = entry->d_name;
    if (name != "." && name != ".." && name != "lost+found") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<void> check_own(const std::string& path, const std::vector<std::string>& names, const std::function<bool(const std::string&)>& is_store) {
  std::vector<std::string> foreign;
  std::copy_if(names.begin(), names.end(), std::back_inserter(foreign),
               [&](const std::string& name) { return !is_store(below(path, name)); });
  if (foreign.empty()) return {};
  const std::string others = foreign.size() == 1 ? std::string() : " and " + std::to_string(foreign.size() - 1) + " more";
  return Error{ErrorCode::not_permitted, "disk.path: " + path + " has something in it that is no store of onced's (\"" + foreign.front() + "\"" + others +
                                             "): it is not used, and nothing in it was touched; name a directory of its own"};
}

}  // namespace

Result<void> set_disk(DiskRules& to, std::string_view text) {
  if (text != "on" && text != "off") return invalid("\"" + std::string(text) + "\" is none of on, off");
  to.on = text == "on";
  return {};
}

Result<void> set_disk_size(DiskRules& to, std::string_view text) {
  const Result<std::uint64_t> size = parse_size_between(text, disk_bytes_min, disk_bytes_max);
  if (!size) return size.error();
  to.bytes = *size;
  return {};
}

std::map<std::string, DiskShare, std::less<>> disk_shares(const Configuration& configuration) {
  std::map<std::string, DiskShare, std::less<>> shares;
  if (configuration.disk_path.empty()) return shares;
  const std::string path = without_end(configuration.disk_path);
  std::uint64_t sharing = 0;
  for_each_namespace(configuration, [&](const std::string& name, const DiskRules& rules) {
    if (!rules.on.value_or(true)) return;
    shares[name] = {below(path, name), rules.bytes, configuration.disk_map_files};
    if (rules.bytes == 0) ++sharing;
  });
  for (auto& [name, share] : shares) {
    if (share.bytes != 0) continue;
    share.bytes = configuration.disk_bytes / sharing;
    if (share.bytes > disk_bytes_min) share.bytes -= share.bytes % disk_bytes_min;  // whole MiB, for people
  }
  return shares;
}

std::optional<std::pair<std::string, std::string>> disk_mistake(const Configuration& configuration) {
  if (configuration.disk_path.empty()) {
    std::optional<std::pair<std::string, std::string>> mistake;
    for_each_namespace(configuration, [&](const std::string& name, const DiskRules& rules) {
      if (rules.on.value_or(false) && !mistake)
        mistake.emplace(std::string(namespaces_prefix) + name + ".disk", "is on, but disk.path does not say where its values would be");
    });
    return mistake;
  }
  for (const auto& [name, share] : disk_shares(configuration)) {
    if (share.bytes >= disk_bytes_min) continue;
    return std::pair(std::string("disk.size"), print_size(configuration.disk_bytes) + " leaves " + print_size(share.bytes) + " for the namespace \"" +
                                                   name + "\" and each other one that has no disk_size; " + print_size(disk_bytes_min) + " is the least");
  }
  return std::nullopt;
}

std::optional<std::string> disk_size_warning(const std::string& path, const std::map<std::string, DiskShare, std::less<>>& shares) {
  struct statvfs all {};
  if (::statvfs(path.c_str(), &all) != 0) return std::nullopt;
  const std::uint64_t has = std::uint64_t{all.f_blocks} * all.f_frsize;
  std::uint64_t wanted = 0;
  for (const auto& [name, share] : shares) wanted += share.bytes;
  if (wanted <= has) return std::nullopt;
  return "disk: the namespaces may have " + print_size(wanted) + " together, the file system of " + path + " has " + print_size(has) +
         ": when it is full values are left out, and nothing is written for a while; say less in disk.size, or in namespaces.NAME.disk_size";
}

Result<std::vector<std::string>> prepare_disk_directory(const std::string& path_as_set, const std::vector<std::string>& namespaces,
                                                        const std::function<bool(const std::string&)>& is_store) {
  const std::string path = without_end(path_as_set);
  if (auto made = make_directory(path); !made) return made.error();
  const Directory opened(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (opened.descriptor < 0) return failed(errno, "open", path);
  struct stat found {};
  if (::fstat(opened.descriptor, &found) != 0) return failed(errno, "look at", path);
  if (auto checked = check_owner(found, path); !checked) return checked.error();
  const Result<std::vector<std::string>> names = names_in(path);
  if (!names) return names.error();
  // Before its mode: nobody should change that of a directory of something else.
  std::vector<std::string> others;  // those of the namespaces are looked at when they are opened
  std::copy_if(names->begin(), names->end(), std::back_inserter(others),
               [&](const std::string& name) { return std::find(namespaces.begin(), namespaces.end(), name) == namespaces.end(); });
  if (auto own = check_own(path, others, is_store); !own) return own.error();
  if (auto checked = check_mode(found, path); !checked) return checked.error();

  // Also where a power loss came between the making of a namespace's directory and now.
  for (const std::string& name : namespaces) {
    const std::string directory = below(path, name);
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return failed(errno, "make", directory);
  }
  if (::fsync(opened.descriptor) != 0 && errno != EINVAL) return failed(errno, "sync", path);
  return others;
}

}  // namespace onced::service
