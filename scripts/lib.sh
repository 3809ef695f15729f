# Shared by scripts/run and scripts/test: finds or installs what channeld needs. Sourced by bash, not run.
#
# Rule: it says what it installs before doing it, starts no service, and writes outside of the repository only
# through apt. What is there already is left alone, so that a second run takes no time.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
NGINX_MODULE=/usr/lib/nginx/modules/ngx_rtmp_module.so
GSTREAMER="/usr/lib/*/gstreamer-1.0"
# Debian keeps nginx in a folder that an ordinary user's PATH may lack.
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# A wheel for this machine must not come from, nor land in, some other project's environment.
unset PYTHONPATH PYTHONHOME VIRTUAL_ENV

say() { printf '%s\n' "$@" >&2; }

die() {
    say "$@"
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Sets PYTHON to the first python3 that is new enough: the one in PATH, else a named one, else Debian's.
choose_python() {
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            PYTHON=$candidate
            return
        fi
    done
    die "channeld needs Python 3.11 or newer, and found: $(python3 --version 2>&1 || true)" \
        "Debian 12 and later have it: apt install python3. Or put another one first in PATH."
}

has_ffmpeg() { has ffmpeg && has ffprobe; }
has_nginx_rtmp() { has nginx && [ -e "$NGINX_MODULE" ]; }
has_venv() { "$PYTHON" -c 'import venv; from ensurepip import version' 2>/dev/null; }

# What the tests use of Debian beyond what channeld itself needs, each with a program or file (a pattern, where the path names the
# machine's kind) that tells that it is there.
# A test whose tool is missing skips and says so.
TEST_TOOLS=(
    strace:strace fuse3:fusermount3 stunnel4:stunnel4 openssl:openssl curl:curl gcc:cc libc6-dev:/usr/include/stdlib.h
    e2fsprogs:mkfs.ext4 iproute2:ip mount:losetup util-linux:unshare procps:ps systemd:systemd-analyze
    srt-tools:srt-live-transmit
    # An RTSP server that nobody here wrote, and what it encodes with.
    python3-gi:/usr/lib/python3/dist-packages/gi
    "gir1.2-gst-rtsp-server-1.0:/usr/lib/*/girepository-1.0/GstRtspServer-1.0.typelib"
    "gstreamer1.0-plugins-base:$GSTREAMER/libgstvideotestsrc.so" "gstreamer1.0-plugins-good:$GSTREAMER/libgstrtp.so"
    "gstreamer1.0-plugins-bad:$GSTREAMER/libgstx265.so" "gstreamer1.0-plugins-ugly:$GSTREAMER/libgstx264.so"
    "gstreamer1.0-x:$GSTREAMER/libgstpango.so"
    # Players without a screen, for `channeld play`; ffplay comes with ffmpeg.
    mpv:mpv vlc-bin:vlc "vlc-plugin-base:/usr/lib/*/vlc/plugins/codec/libavcodec_plugin.so"
    fonts-dejavu-core:/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf postgresql:/usr/lib/postgresql chromium:chromium
)

# Names of Debian packages that channeld wants and that are not there, on one line.
missing_packages() {
    local missing=()
    has_ffmpeg || missing+=(ffmpeg)
    has_nginx_rtmp || missing+=(nginx libnginx-mod-rtmp)
    has_venv || [ -x "$VENV/bin/python" ] || missing+=(python3-venv)
    printf '%s' "${missing[*]}"
}

# The same of what the tests use.
missing_tools() {
    local missing=() tool proof
    for tool in "${TEST_TOOLS[@]}"; do
        proof=${tool#*:}
        compgen -G "$proof" >/dev/null || has "$proof" || missing+=("${tool%%:*}")
    done
    printf '%s' "${missing[*]}"
}

# Sets AS_ROOT to the words that make a command root's, without ever asking for a password.
may_be_root() {
    if [ "$(id -u)" = 0 ]; then
        AS_ROOT=()
    elif has sudo && sudo -n true 2>/dev/null; then
        AS_ROOT=(sudo)
    else
        return 1
    fi
}

# Runs as root, in a shell of its own. invoke-rc.d asks policy-rc.d before it starts or restarts any service: 101 is
# "forbidden". A policy of the machine's own is put aside meanwhile and put back.
install_guarded() {
    set -e
    # Not local: the trap runs after the function is left.
    policy=/usr/sbin/policy-rc.d
    local mark='# channeld: no service starts during an installation'
    local link=/etc/nginx/modules-enabled/50-mod-rtmp.conf link_before=no nginx_before=no
    put_back() {
        rm -f "$policy"
        if [ -e "$policy.before-channeld" ]; then mv "$policy.before-channeld" "$policy"; fi
    }
    trap put_back EXIT
    trap 'exit 130' INT TERM
    # One that an interrupted run left behind is ours, not the machine's.
    if [ -e "$policy" ] && ! grep -qF "$mark" "$policy"; then mv "$policy" "$policy.before-channeld"; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
    if dpkg-query -W -f='${db:Status-Status}' nginx 2>/dev/null | grep -qx installed; then nginx_before=yes; fi
    if [ -e "$link" ]; then link_before=yes; fi

    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" || { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; }

    if [ "$nginx_before" = no ] && [ -e /lib/systemd/system/nginx.service ]; then
        # The package enables its service for the next boot; nobody asked for that.
        systemctl disable nginx.service >/dev/null 2>&1 || true
        update-rc.d nginx disable >/dev/null 2>&1 || true
    elif [ "$nginx_before" = yes ] && [ "$link_before" = no ]; then
        # The machine's own nginx must not load a module because of us; our instance names it by its path.
        rm -f "$link"
    fi
}

# ensure_packages NAMES: installs Debian packages; without root or apt it tells the command and goes on with what is there.
ensure_packages() {
    local missing=$1
    [ -n "$missing" ] || return 0
    if ! has apt-get || ! may_be_root; then
        say "Not installed: $missing. That needs apt and root:  apt install $missing"
        say "Going on without."
        return 0
    fi
    say "Installing with apt: $missing"
    say "No service is started, and none is enabled for the next boot."
    # shellcheck disable=SC2086  # a list of words
    if ! ${AS_ROOT[@]+"${AS_ROOT[@]}"} bash -c "$(declare -f install_guarded); install_guarded $missing" >&2; then
        say "apt could not install: $missing. Going on without."
    fi
}

# Makes .venv, with pip in it.
make_venv() {
    "$VENV/bin/python" -c '' 2>/dev/null && [ -x "$VENV/bin/pip" ] && return 0
    say "Making a Python environment in .venv"
    if has_venv; then
        "$PYTHON" -m venv --clear "$VENV"
    elif "$PYTHON" -m pip --version >/dev/null 2>&1; then
        # Debian without python3-venv: the environment comes without pip, and the system's pip can fill it.
        "$PYTHON" -m venv --clear --without-pip "$VENV"
        "$PYTHON" -m pip --python "$VENV/bin/python" install -q pip
    else
        die "Python's venv module is not complete, and there is no pip. As root:  apt install python3-venv"
    fi
}

# ensure_python EXTRAS: the project and its extras ("", "dev", "bundled", "dev,bundled") in .venv. A stamp holds what was
# installed from, so that a second run does nothing.
ensure_python() {
    local extras=$1 stamp wanted
    make_venv
    stamp=$VENV/.installed-${extras:-plain}
    wanted=$(cat "$ROOT/pyproject.toml" <("$VENV/bin/python" -VV) <(echo "$ROOT") | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
    say "Installing into .venv with pip: channeld${extras:+ [$extras]} and what it depends on (see pyproject.toml)"
    "$VENV/bin/python" -m pip install -q --disable-pip-version-check -e "$ROOT${extras:+[$extras]}" >&2
    printf '%s' "$wanted" >"$stamp"
}

# ensure_all EXTRAS: everything; without an FFmpeg of the system, the bundled one.
ensure_all() {
    local extras=$1
    choose_python
    ensure_packages "$(missing_packages)"
    # By themselves: a tool that cannot be had must not cost what channeld needs.
    if [[ ",$extras," == *,dev,* ]]; then ensure_packages "$(missing_tools)"; fi
    if ! has_ffmpeg; then
        say "No ffmpeg and ffprobe on this machine: taking the bundled ones."
        extras=${extras:+$extras,}bundled
    fi
    ensure_python "$extras"
    # Children find the environment's programs as if it were active.
    export PATH="$VENV/bin:$PATH"
}
