"""Which keys a part of a config has: those that the class which ``type`` names takes, or that its reader knows."""
import difflib
import inspect
import re
import typing
from pathlib import Path
from typing import Any, Collection, Dict, Iterator, List, Optional, Sequence, Set, Tuple

from mmengine import registry as root
from mmengine.config import Config
from mmengine.hooks import EMAHook
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmvis import registry
from mmvis.errors import InputError

from .launch import init_dist

#: What mmengine's runner and the tools read at the top of a config; every other name there is a variable of the file.
TOP_LEVEL_KEYS = frozenset(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | {
    'model_wrapper_cfg', 'find_unused_parameters', 'activation_checkpointing', 'efficient_conv_bn_eval', 'compile',
    'custom_imports', 'sync_bn', 'loggers', 'val_interval'}
#: Top-level keys that hold a text, whatever is there now.
_TEXTS = ('work_dir', 'load_from', 'resume', 'experiment_name', 'launcher', 'log_level', 'default_scope')
#: mmengine and mmvis take these out of a dict before anything is built from it.
_EVERYWHERE = frozenset({'type', '_scope_', '_delete_'})

_DATALOADER = frozenset(inspect.signature(DataLoader.__init__).parameters) - {'self', 'shuffle'} | {
    'num_batch_per_epoch', 'disable_subprocess_warning'}
#: Dicts without a type -> the keys that are read from them. By their name, wherever they stand ...
_READ_BY_NAME: Dict[str, Optional[frozenset]] = {
    'clip_grad': frozenset({'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach', 'clip_value'}),
    'paramwise_cfg': frozenset({
        'custom_keys', 'lr_mult', 'decay_mult', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult',
        'flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate',
        'decay', 'query_blocks_decay', 'backbone_lr_mult'}),
    # dicts whose keys are names that the user gives, and those of mmcv's builders, which read more than a class takes
    'custom_keys': None, 'init_cfg': None, 'norm_cfg': None, 'conv_cfg': None, 'act_cfg': None, 'dcn': None,
}
#: ... or at the top level, where their names are mmengine's.
_READ_AT_THE_TOP: Dict[str, Optional[frozenset]] = {
    'train_dataloader': _DATALOADER, 'val_dataloader': _DATALOADER, 'test_dataloader': _DATALOADER,
    'env_cfg': frozenset({'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'}),
    'env_cfg.mp_cfg': frozenset({'mp_start_method', 'opencv_num_threads'}),
    'env_cfg.dist_cfg': frozenset(inspect.signature(init_dist).parameters) - {'launcher'},
    'randomness': frozenset({'seed', 'diff_rank_seed', 'deterministic'}),
    'auto_scale_lr': frozenset({'enable', 'base_batch_size'}),
    'custom_imports': frozenset({'imports', 'allow_failed_imports'}),
    'default_hooks': None, 'compile': None,
}
#: What is built where no type is given.
_DEFAULT_TYPES = {'log_processor': 'LogProcessor', 'optim_wrapper': 'OptimWrapper', 'train_cfg': 'EpochTrainLoop'}
#: First name of a key -> what mmengine's builders of that part read beside what the class takes.
_READ_BY_BUILDERS = {'optim_wrapper': frozenset({'constructor', 'paramwise_cfg'}),
                     'param_scheduler': frozenset({'convert_to_iter_based'})}
#: First name of a key -> where the classes below it are registered.
_REGISTRIES = {
    'model': (registry.MODELS,), 'data_preprocessor': (registry.MODELS,), 'model_wrapper_cfg': (registry.MODEL_WRAPPERS,),
    'train_cfg': (registry.LOOPS,), 'val_cfg': (registry.LOOPS,), 'test_cfg': (registry.LOOPS,),
    'optim_wrapper': (registry.OPTIM_WRAPPERS, registry.OPTIMIZERS, registry.OPTIM_WRAPPER_CONSTRUCTORS),
    'param_scheduler': (registry.PARAM_SCHEDULERS,), 'log_processor': (registry.LOG_PROCESSORS,),
    'default_hooks': (registry.HOOKS,), 'custom_hooks': (registry.HOOKS,),
    'visualizer': (registry.VISUALIZERS, registry.VISBACKENDS),
    **dict.fromkeys(('val_evaluator', 'test_evaluator'), (registry.METRICS, root.EVALUATOR)),
    **dict.fromkeys(('train_dataloader', 'val_dataloader', 'test_dataloader'),
                    (registry.DATASETS, registry.DATA_SAMPLERS, registry.TRANSFORMS, root.FUNCTIONS)),
}


def check_option(cfg: Config, key: str, value: Any, file: Path) -> None:
    """Refuse a key of the command line that the config has not and nothing would read.

    Raises:
        InputError: names the key, what stands there and the nearest spelling.
    """
    names = key.split('.')
    option = f'--cfg-options {key}={value}'
    check_place(cfg, key, option, file)
    if names[0] not in TOP_LEVEL_KEYS:
        known = TOP_LEVEL_KEYS | set(cfg)
        raise InputError(f'{option}: {file} has no {names[0]}, nor does anything read it.'
                         + (_hint_below(cfg, key) or _hint(names[0], known, (), names[1:])))
    node: Any = cfg._cfg_dict
    for depth, name in enumerate(names):
        if isinstance(node, dict) and name not in node:
            path = tuple(names[:depth])
            if not path:
                return
            known = accepted_keys(path, node)
            if known is None and (node.get('type') is not None or _is_free(path)):
                return
            if known is None or name not in known:
                raise InputError(f'{option}: {_who(path, node)} of {file} takes no {name}.' + (
                    _hint(name, {*node, *(known or ())}, path, names[depth + 1:]) or _hint_below(cfg, key)))
            return
        if node is not None:
            node = node[name] if isinstance(node, dict) else node[int(name)]


def check_place(cfg: Config, key: str, option: str, file: Path) -> None:
    """Refuse a key below a list that is shorter, a tuple or what is neither dict nor list.

    Raises:
        InputError: names the key and what stands there.
    """
    node, names = cfg._cfg_dict, key.split('.')
    for depth, name in enumerate(names):
        start = f'{option} does not fit {file}: {".".join(names[:depth])} is'
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, (list, tuple)):
            if not name.isdigit() or int(name) >= len(node):
                raise InputError(f'{start} a list of {len(node)} there, which has no {name} (the first is 0).')
            # mmengine changes dicts in a list, but no numbers; in a variable of the file they can be changed
            if depth == len(names) - 1 and not isinstance(node[int(name)], (dict, list, tuple)) and (
                    isinstance(node, tuple) or names[0] in TOP_LEVEL_KEYS):
                raise InputError(f'{start} {node!r} there, which is changed as a whole.')
            node = node[int(name)]
        elif node is not None:
            raise InputError(f'{start} {node!r} there, which has no keys.')


def check_keys(cfg: Config) -> None:
    """Refuse keys of a config that the classes of its parts do not take.

    Raises:
        InputError: names the file, the path of the key and the nearest spelling.
    """
    for path, node in dicts_of(cfg._cfg_dict):
        if 'type' not in node and (path == ('visualizer',) or (path[0] == 'default_hooks' and len(path) == 2)):
            raise InputError(f'{cfg.filename}: {".".join(path)} has no type, so nothing can be built from it.'
                             + _hint(path[-1], set(cfg.get('default_hooks') or ()) - {path[-1]}, path[:-1], ()))
        known = accepted_keys(path, node)
        for name in () if known is None else node:
            if name not in known:
                raise InputError(f'{cfg.filename}: {".".join((*path, str(name)))}: {_who(path, node)} takes no {name}.'
                                 + _hint(str(name), known, path, ()))


def check_type_names(cfg: Config) -> None:
    """Refuse the name of a class that is registered nowhere.

    Raises:
        InputError: names the file, the path of the key and the nearest name.
    """
    for path, node in dicts_of(cfg._cfg_dict):
        kind, registries = node.get('type'), _REGISTRIES.get(path[0])
        if not isinstance(kind, str) or not registries or _is_free(path) or '_scope_' in node:
            continue
        if class_of(path, node) is None:
            near = difflib.get_close_matches(kind, sorted(_class_names(registries)), 1)
            raise InputError(f'{cfg.filename}: {".".join((*path, "type"))} is {kind!r}, which is no class that is registered.'
                             + (f' Did you mean {near[0]}?' if near else ' A file of your own is named in custom_imports.'))


def _class_names(registries: Sequence[Registry]) -> Set[str]:
    """As a config writes them: those of another library with its scope in front."""
    names = {name for own in registries for name in {**own.module_dict, **own.root.module_dict}}
    return names | {f'{scope}.{name}' for own in registries for scope, other in own.root.children.items()
                    if scope != own.scope for name in other.module_dict}


def misspelt_variables(cfg: Config) -> Dict[str, str]:
    """Dicts at the top of a config that nothing reads, but whose name is nearly one that something does."""
    near = {name: difflib.get_close_matches(name, sorted(TOP_LEVEL_KEYS), 1, 0.9) for name in cfg
            if name not in TOP_LEVEL_KEYS and isinstance(cfg[name], (dict, list))}
    return {name: matches[0] for name, matches in near.items() if matches}


def build_error(cfg: Config, error: TypeError) -> Optional[InputError]:
    """The sentence for a part that was built from a dict without a type, which had a key that the part does not take;
    None where it was something else."""
    found = re.search(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", str(error))
    for path, node in dicts_of(cfg._cfg_dict) if found else ():
        if found.group(2) in node and 'type' not in node:
            siblings = set(node) - {found.group(2)}
            return InputError(f'{cfg.filename}: {".".join((*path, found.group(2)))}: {found.group(1)}, which is built from '
                              f'{".".join(path)}, takes no {found.group(2)}.' + _hint(found.group(2), siblings, path, ()))
    return None


def accepted_keys(path: Tuple[str, ...], node: Dict[str, Any]) -> Optional[Set[str]]:
    """The keys that a dict of a config may have; None where nobody can say.

    Args:
        path: where it stands, such as ('optim_wrapper', 'optimizer').
        node: the dict.
    """
    dotted = '.'.join(path)
    if dotted in _READ_AT_THE_TOP:
        known = _READ_AT_THE_TOP[dotted]
        if known is _DATALOADER and node.get('batch_sampler') is not None:
            known = known - {'drop_last'}  # then it is the batch sampler's
        return known and set(known | _EVERYWHERE)
    if path[-2:-1] == ('custom_keys',):
        return {'lr_mult', 'decay_mult'}
    if path[-1] in _READ_BY_NAME:
        known = _READ_BY_NAME[path[-1]]
        return known and set(known | _EVERYWHERE)
    found = class_of(path, node)
    known = None if found is None else _parameters(found)
    if found is EMAHook:  # it hands on the rest
        known = _of_ema(node)
    if known is None:
        return None
    return set(known) | _EVERYWHERE | _READ_BY_BUILDERS.get(path[0], frozenset())


def value_kind(cfg: Config, key: str, before: Any) -> Optional[str]:
    """'text' or 'texts' where the class of a part says so of a parameter that has no value (``before``) as yet."""
    *path, name = key.split('.')
    if not path:
        return 'text' if name in _TEXTS else None
    if before is not None:
        return None
    node: Any = cfg._cfg_dict
    for part in path:
        if isinstance(node, (list, tuple)):
            node = node[int(part)] if part.isdigit() and int(part) < len(node) else None
        else:
            node = node.get(part) if isinstance(node, dict) else None
    found = class_of(tuple(path), node) if isinstance(node, dict) else None
    for klass in inspect.getmro(found) if inspect.isclass(found) else ():
        if '__init__' in vars(klass):
            hint = type_hints(klass).get(name)
            if hint is not None:
                return _kind(hint)
    return None


def type_hints(klass: type) -> Dict[str, Any]:
    """Annotations of the arguments of a class; none where they cannot be looked up."""
    try:
        return typing.get_type_hints(klass.__init__)
    except (NameError, TypeError):  # names that its module imports for checkers only
        return {}


def _kind(hint: Any) -> Optional[str]:
    """Of ``Optional[str]`` 'text', of ``Optional[Sequence[str]]`` 'texts'."""
    members = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else (hint,)
    members = [member for member in members if member is not type(None)]
    if members == [str]:
        return 'text'
    texts = [member for member in members if typing.get_args(member)[:1] == (str,)]
    return 'texts' if texts and len(texts) == len(members) else None


def _is_free(path: Tuple[str, ...]) -> bool:
    """Is it, or is it within, a dict of which nobody knows the keys?"""
    return any(part in _READ_BY_NAME and _READ_BY_NAME[part] is None for part in path) or (
        path[0] in _READ_AT_THE_TOP and _READ_AT_THE_TOP[path[0]] is None)


def class_of(path: Tuple[str, ...], node: Dict[str, Any]) -> Any:
    """The class or function that a dict of a config is for; None where there is none."""
    kind = node.get('type', _DEFAULT_TYPES.get(path[0]) if len(path) == 1 else None)
    if kind is None or not isinstance(kind, str):
        return kind
    for candidates in _REGISTRIES.get(path[0], ()):
        try:
            found = candidates.get(kind)
        except (ImportError, KeyError):  # a scope that is not installed: building it says so
            found = None
        if found is not None:
            return found
    return None


def _parameters(found: Any) -> Optional[Set[str]]:
    """Names that a class or function takes; ``**kwargs`` go to the class it inherits from, and where it inherits from none
    somewhere else. None: any name."""
    if not inspect.isclass(found):
        parameters = inspect.signature(found).parameters.values()
        return None if _takes_any(parameters) else {parameter.name for parameter in parameters}
    names: Set[str] = set()
    hands_on = False
    for klass in found.__mro__:
        if '__init__' not in vars(klass):
            continue
        if klass in (object, nn.Module):
            return None if hands_on and klass is object else names
        parameters = list(inspect.signature(klass.__init__).parameters.values())[1:]
        names |= {parameter.name for parameter in parameters if parameter.kind not in (
            parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)}
        hands_on = _takes_any(parameters)
        if not hands_on:
            return names
    return None


def _of_ema(node: Dict[str, Any]) -> Optional[Set[str]]:
    """What mmengine's EMAHook takes, and the kind of average that it makes."""
    average = root.MODELS.get(node.get('ema_type', 'ExponentialMovingAverage'))
    known = None if average is None else _parameters(average)
    own = set(inspect.signature(EMAHook.__init__).parameters)
    return None if known is None else (own | known) - {'self', 'kwargs', 'model'}


def _takes_any(parameters: Collection[inspect.Parameter]) -> bool:
    return any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def dicts_of(node: Any, path: Tuple[str, ...] = ()) -> Iterator[Tuple[Tuple[str, ...], Dict[str, Any]]]:
    """Every dict below the top-level keys, with its path."""
    if isinstance(node, dict):
        if path:
            yield path, node
        for name in node:
            if path or name in TOP_LEVEL_KEYS:
                yield from dicts_of(node[name], (*path, str(name)))
    elif isinstance(node, (list, tuple)):
        for index, item in enumerate(node):
            yield from dicts_of(item, (*path, str(index)))


def _who(path: Tuple[str, ...], node: Dict[str, Any]) -> str:
    kind = node.get('type')
    kind = getattr(kind, '__name__', kind)
    return f'the {kind} at {".".join(path)}' if kind else '.'.join(path)


def _hint(name: str, known: Collection[str], path: Collection[str], rest: List[str]) -> str:
    near = difflib.get_close_matches(name, sorted(map(str, known)), 1, 0.7)
    return f' Did you mean {".".join([*path, *near, *rest])}?' if near else ''


def _hint_below(cfg: Config, key: str) -> str:
    """Keys that end in the name of this one, such as train_dataloader.batch_size for batch_size."""
    *above, name = key.split('.')
    places = ['.'.join((*path, name)) for path, node in dicts_of(cfg._cfg_dict)
              if list(path[:len(above)]) == above and (name in node or name in (accepted_keys(path, node) or ()))]
    return f' Did you mean {" or ".join(places[:3])}?' if places else ''
