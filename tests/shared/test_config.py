"""Settings: which source wins, and what an error says."""

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path

import pytest

from shared.config import OTHER_VARIABLES, Given, Setting, load, profile_reference, reference
from shared.errors import ConfigError
from shared.settings import RELOADABLE, ProfileSettings, Settings, changes


def loaded(
    folder: Path,
    toml: str = "",
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Given] | None = None,
) -> Settings:
    file = folder / "heartline.toml"
    file.write_text(toml)
    return load(file, environment=environment or {}, flags=flags)


def failure(
    folder: Path,
    toml: str = "",
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Given] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(folder, toml, environment, flags)
    return str(caught.value)


def test_without_any_source_everything_is_at_its_default(tmp_path: Path) -> None:
    assert load(tmp_path / "absent.toml", environment={}) == Settings()


def test_a_file_that_was_asked_for_has_to_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load(tmp_path / "absent.toml", environment={}, required=True)


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    toml = "[master]\nperiod_s = 2\nbacklog = 7\nevents_kept = 500\n"
    environment = {"HEARTLINE_MASTER_PERIOD_S": "3", "HEARTLINE_MASTER_BACKLOG": "8"}
    flags = {"master.period_s": Given("--period", 4.0)}
    settings = loaded(tmp_path, toml, environment, flags).master
    assert (settings.period_s, settings.backlog, settings.events_kept) == (4.0, 8, 500)
    assert settings.handshake_timeout_s == Settings().master.handshake_timeout_s


def test_nested_settings_keep_the_other_defaults_of_their_family(tmp_path: Path) -> None:
    families = loaded(tmp_path, "[agent.families.filesystems]\nenabled = false\n").agent.families
    default = Settings().agent.families.filesystems
    assert not families.filesystems.enabled
    assert families.filesystems.period_s == default.period_s


def test_nested_settings_have_variables_with_two_underscores(tmp_path: Path) -> None:
    environment = {"HEARTLINE_AGENT_FAMILIES__PROCESSES__TOP": "3"}
    assert loaded(tmp_path, environment=environment).agent.families.processes.top == 3


def test_variables_hold_lists_tables_and_switches_as_text(tmp_path: Path) -> None:
    environment = {
        "HEARTLINE_AGENT_MASTER": "one.example, [::1]:7701",
        "HEARTLINE_AGENT_LABELS": "rack=b7, role=db=primary",
        "HEARTLINE_AGENT_FAMILIES__USERS__ENABLED": "false",
        "HEARTLINE_AGENT_NAME": "7",
    }
    agent = loaded(tmp_path, environment=environment).agent
    assert agent.master == ("one.example", "[::1]:7701")
    assert agent.labels == {"rack": "b7", "role": "db=primary"}
    assert not agent.families.users.enabled
    assert agent.name == "7"


@pytest.mark.parametrize("setting", list(reference()), ids=attrgetter("key"))
def test_every_setting_is_reachable_by_its_variable_and_says_what_it_expects(
    tmp_path: Path, setting: Setting
) -> None:
    message = failure(tmp_path, environment={setting.variable: "\x00"})
    assert message.startswith(f"{setting.variable}: {setting.key} is ")


def test_an_error_in_the_file_names_file_key_value_and_expectation(tmp_path: Path) -> None:
    message = failure(tmp_path, "[link]\nread_timeout_s = 0\n")
    assert message == (
        f"{tmp_path}/heartline.toml: link.read_timeout_s is 0; expected a number from 1 to 600"
    )


def test_an_error_in_a_variable_names_it(tmp_path: Path) -> None:
    message = failure(tmp_path, environment={"HEARTLINE_MASTER_PERIOD_S": "soon"})
    assert message == (
        "HEARTLINE_MASTER_PERIOD_S: master.period_s is 'soon'; expected a number from 1 to 60"
    )


def test_an_error_in_a_flag_names_it(tmp_path: Path) -> None:
    message = failure(tmp_path, flags={"master.listen": Given("--listen", ("host:99999",))})
    assert message.startswith("--listen: master.listen is 'host:99999'; expected HOST:PORT")


def test_an_error_in_a_repeated_flag_shows_all_of_it(tmp_path: Path) -> None:
    given = Given("--listen", ("host:1", "host:99999"))
    message = failure(tmp_path, flags={"master.listen": given})
    assert message.startswith("--listen: master.listen is 'host:1', 'host:99999'; expected")


@pytest.mark.parametrize(
    "toml",
    [
        "[master]\nperiod_s = '5'\n",
        "[master]\nperiod_s = true\n",
        "[master]\nperiod_s = nan\n",
        "[master]\nperiod_s = inf\n",
        "[master]\nbacklog = 1.5\n",
        "[master]\nlisten = ':7700'\n",
        "[master]\nlisten = []\n",
        "[master]\nlisten = [7700]\n",
        "[agent]\nmaster = [':7700']\n",
        "[agent]\nmaster = ['host:0']\n",
        "[agent]\nname = 'two words'\n",
        '[agent]\nname = "\\u001b[31m"\n',
        "[agent]\nlabels = {a = 1}\n",
        "[agent]\nperiod_min_s = 30\nperiod_max_s = 20\n",
        "[agent.families]\ncpu = false\n",
        "[link]\nread_timeout_s = 20\nping_after_s = 20\n",
        "[history]\nkeep_1m_days = 90\nkeep_15m_days = 89\n",
        "[history]\nkeep_bytes = '1 GB'\n",
        "agent = 3\n",
    ],
)
def test_a_value_that_cannot_be_used_is_refused_where_it_stands(tmp_path: Path, toml: str) -> None:
    message = failure(tmp_path, toml)
    assert message.startswith(f"{tmp_path}/heartline.toml: ")
    assert "; expected " in message


@pytest.mark.parametrize(
    ("toml", "wrong", "meant"),
    [
        ("[master]\nperiods = 5\n", "master.periods", "master.period_s"),
        ("[agent.families.cpus]\nenabled = true\n", "agent.families.cpus", "agent.families.cpu"),
        ("[mater]\nperiod_s = 5\n", "mater", "master"),
    ],
)
def test_an_unknown_key_is_refused_with_what_was_probably_meant(
    tmp_path: Path, toml: str, wrong: str, meant: str
) -> None:
    message = failure(tmp_path, toml)
    assert f"there is no setting {wrong}" in message
    assert message.endswith(f"did you mean {meant}?")


def test_an_unknown_variable_is_refused_with_what_was_probably_meant(tmp_path: Path) -> None:
    message = failure(tmp_path, environment={"HEARTLINE_MASTER_LISTENS": ":1"})
    assert "HEARTLINE_MASTER_LISTENS" in message
    assert "did you mean HEARTLINE_MASTER_LISTEN?" in message


def test_variables_of_others_and_those_that_are_no_settings_are_let_be(tmp_path: Path) -> None:
    environment = dict.fromkeys(OTHER_VARIABLES, "x") | {
        "PATH": "/bin",
        "HEARTLINE_MASTER_SERVICE_HOST": "10.0.0.1",
        "HEARTLINE_MASTER_PORT_7700_TCP_ADDR": "10.0.0.1",
        "HEARTLINE_PORT": "tcp://10.0.0.1:7700",
    }
    assert loaded(tmp_path, environment=environment) == Settings()


def test_a_file_that_is_not_toml_is_refused_with_the_place(tmp_path: Path) -> None:
    assert "line 1" in failure(tmp_path, "= 5")


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load(tmp_path, environment={})


def test_changed_settings_are_told_apart_by_whether_a_restart_is_needed() -> None:
    old = Settings()
    new = load(
        Path("absent.toml"),
        environment={"HEARTLINE_MASTER_PERIOD_S": "9", "HEARTLINE_MASTER_LISTEN": ":1"},
    )
    assert changes(old, new) == (["master.period_s"], ["master.listen"])
    assert changes(old.master, new.master, "master.") == (["master.period_s"], ["master.listen"])
    assert changes(old, old) == ([], [])


def test_only_settings_that_exist_are_called_reloadable() -> None:
    assert {setting.key for setting in reference()} >= RELOADABLE


def test_profiles_are_tables_by_names_of_their_users_choice(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path, "[profiles.lab]\nmaster = ['a:7700', 'b']\n[profiles.x-2]\nmaster=['c']"
    )
    assert settings.profiles == {
        "lab": ProfileSettings(master=("a:7700", "b")),
        "x-2": ProfileSettings(master=("c",)),
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[profiles.lab]\nmastr=['a']", "profiles.lab.mastr; did you mean profiles.lab.master?"),
        ("[profiles.lab]\nmaster='a'", "profiles.lab.master is 'a'; expected a list"),
        ("[profiles.lab]\nmaster=[]", "profiles.lab.master is []; expected a list of 1"),
        ("[profiles.lab]\nmaster=['a:0']", "expected HOST:PORT that can be dialled"),
        ("[profiles.lab]", "profiles.lab lacks master; expected a list"),
        ("[profiles]\nlab=3", "profiles.lab is 3; expected a table [profiles.lab]"),
        ("profiles=3", "profiles is 3; expected tables [profiles.NAME]"),
        ("[profiles.'../x']\nmaster=['a']", "expected a name of letters, digits, - and _"),
    ],
)
def test_profile_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, text: str, told: str
) -> None:
    assert told in failure(tmp_path, text)


def test_profiles_stand_in_the_reference_too() -> None:
    assert [setting.key for setting in profile_reference()] == ["profiles.NAME.master"]
    assert all(setting.description for setting in profile_reference())
